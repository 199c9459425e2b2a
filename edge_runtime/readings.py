"""The types that flow: a `Reading` goes in, a `Verdict` comes out, an `Alert` is what a person gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import ReadingError

Moment = datetime | float | np.datetime64
"""A point in time: a datetime (naive is read as UTC), seconds since 1970 UTC, or a datetime64 (UTC)."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The first and last microsecond since 1970 that a datetime can hold: the years 1 to 9999."""

SCORED, WARMING_UP, GAP, OUT_OF_RANGE, SENSOR_FAULT, OFF, COLLECTING = range(7)
STATUSES = ("scored", "warming_up", "gap", "out_of_range", "sensor_fault", "off", "collecting")
"""Why a reading has a score, or has none:

- `scored`: it has one.
- `warming_up`: the window is not full yet.
- `gap`: readings were missing for longer than the bundle allows, and the window starts again; or it is not later than the
  one before, and changes nothing.
- `out_of_range`: a value is outside its valid range, or infinite.
- `sensor_fault`: a sensor is silent, stuck or saturated; the verdict's `fault_channels` say which.
- `off`: the machine is not in the operating state the model knows.
- `collecting`: with a sampling grid, it completes no row of the grid; its values wait for the end of their period.
"""

QUIET, RAISED, ACTIVE, CLEARED = range(4)
ALARM_STATES = ("quiet", "raised", "active", "cleared")
"""No alarm; this verdict raised it; it was raised before; this verdict cleared it."""


def to_microseconds(moment: Moment) -> int:
    """Microseconds since 1970 UTC. Raises `ReadingError` for anything that is not a point in time."""
    if (
        type(moment) is float and -6e10 < moment < 1e11
    ):  # the shortest way for the most frequent kind: the years 68 to 5138
        return round(moment * 1e6)
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        microseconds = (moment - EPOCH) // _MICROSECOND
    elif isinstance(moment, np.datetime64) and not np.isnat(moment):
        try:
            microseconds = int(moment.astype("datetime64[us]").astype(np.int64))
        except OverflowError:  # numpy 2.5; before, the number wrapped around
            microseconds = LATEST + 1
    elif isinstance(moment, (int, float, np.integer, np.floating)) and abs(moment) < 1e12:
        microseconds = round(float(moment) * 1e6)
    else:
        raise ReadingError(f"expected a time (datetime, datetime64 or seconds since 1970), got {moment!r}")
    if not EARLIEST <= microseconds <= LATEST:
        raise ReadingError(f"expected a time in the years 1 to 9999, got {moment!r}")
    return microseconds


def from_microseconds(microseconds: int) -> datetime:
    """The UTC datetime of microseconds since 1970."""
    return EPOCH + timedelta(microseconds=microseconds)


class Reading(NamedTuple):
    """What the sensors of one machine said at one moment."""

    time: Moment
    """When; naive datetimes are read as UTC."""
    values: Sequence[float] | npt.NDArray[np.float64]
    """One number a channel, in the bundle's order and units; NaN where a value is missing."""
    machine: int = 0
    """Which machine, 0 to machines - 1."""


class Alert(NamedTuple):
    """An alarm that was raised or cleared: what a person gets to read."""

    kind: str
    """`raised` or `cleared`."""
    time: datetime
    machine: int | None
    score: float
    threshold: float
    contributions: Mapping[str, float]
    """The share of each channel in the score, in units of the score."""

    @property
    def severity(self) -> float:
        """How many times the threshold the score is."""
        return self.score / self.threshold

    def __str__(self) -> str:
        top = max(self.contributions, key=lambda name: self.contributions[name])
        machine = "" if self.machine is None else f" machine {self.machine}:"
        return (
            f"{self.time:%Y-%m-%d %H:%M:%S}Z{machine} alarm {self.kind}: score {self.score:.4g} is "
            f"{self.severity:.2f} x the threshold, mostly {top}"
        )


class Verdict:
    """The answer to one reading. `anomalous` is None unless `status` is `scored`.

    It cannot be changed, and is equal to another one that says the same. It keeps what it was made from: a device that looks at the
    alarm alone does not pay for a datetime, a dictionary and the contributions. With these not asked for it takes up to 2 kB more.
    """

    __slots__ = ("_codes",)
    __match_args__ = (
        "time", "machine", "status", "score", "threshold", "anomalous", "alarm", "contributions", "fault_channels",
    )  # fmt: skip
    _codes: tuple[Any, ...]

    def __init__(
        self,
        time: datetime,
        machine: int | None,
        status: str,
        score: float | None,
        threshold: float,
        anomalous: bool | None,
        alarm: str,
        contributions: Mapping[str, float] | None,
        fault_channels: tuple[str, ...] = (),
    ) -> None:
        channels, values = ((), None) if contributions is None else (tuple(contributions), [*contributions.values()])
        codes = (STATUSES.index(status), score, threshold, anomalous, ALARM_STATES.index(alarm), channels, values)
        self._codes = (to_microseconds(time), machine, *codes, fault_channels)

    @property
    def time(self) -> datetime:
        """Of the reading, UTC; it is the last one of the window that was scored."""
        return EPOCH + timedelta(0, 0, self._codes[0])

    @property
    def machine(self) -> int | None:
        """None where the detector watches one machine only."""
        machine: int | None = self._codes[1]
        return machine

    @property
    def status(self) -> str:
        """One of `STATUSES`."""
        return STATUSES[self._codes[2]]

    @property
    def score(self) -> float | None:
        """None unless `status` is `scored`."""
        score: float | None = self._codes[3]
        return score

    @property
    def threshold(self) -> float:
        """What the score was, or would be, compared with."""
        threshold: float = self._codes[4]
        return threshold

    @property
    def anomalous(self) -> bool | None:
        """Whether the score is above the threshold."""
        anomalous: bool | None = self._codes[5]
        return anomalous

    @property
    def alarm(self) -> str:
        """One of `ALARM_STATES`."""
        return ALARM_STATES[self._codes[6]]

    @property
    def contributions(self) -> dict[str, float] | None:
        """The share of each channel in the score; they add up to it."""
        channels, values = self._codes[7:9]
        if type(values) is tuple:  # kept by the short way, which leaves the calculation to whoever wants to know
            explain, kept = values
            values = explain(kept, self._codes[3])
        return None if values is None else dict(zip(channels, values, strict=True))

    @property
    def fault_channels(self) -> tuple[str, ...]:
        """The channels whose sensors are at fault where `status` is `sensor_fault`, else none."""
        names: tuple[str, ...] = self._codes[9]
        return names

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Verdict) else NotImplemented

    def __repr__(self) -> str:
        return f"Verdict({', '.join(f'{name}={value!r}' for name, value in self._asdict().items())})"

    def __reduce__(self) -> tuple[type[Verdict], tuple[Any, ...]]:
        return Verdict, tuple(self)

    def _asdict(self) -> dict[str, Any]:
        """The fields by name, as a named tuple gives them."""
        return dict(zip(self.__match_args__, self, strict=True))

    def _replace(self, **changes: Any) -> Verdict:
        """Another one with these fields changed, as a named tuple gives it."""
        return Verdict(**(self._asdict() | changes))

    def to_json(self) -> dict[str, Any]:
        """What the `--json` lines carry."""
        return {**self._asdict(), "time": self.time.isoformat()}

    def alert(self) -> Alert | None:
        """The alert this verdict raised or cleared, if it did."""
        if self.alarm not in ("raised", "cleared") or self.score is None or self.contributions is None:
            return None
        return Alert(self.alarm, self.time, self.machine, self.score, self.threshold, self.contributions)


class Verdicts(Sequence[Verdict]):
    """N verdicts as columns; indexing and iterating give `Verdict` objects.

    Columns, each with N rows: `times` datetime64[us] UTC; `machines` int64; `status_codes` and `alarm_codes` uint8,
    positions in `STATUSES` and `ALARM_STATES`; `scores` float64, NaN where not scored; `thresholds` float64;
    `contributions` (N, C) float64, NaN where not scored; `faults` (N, S) bool, which of the S `sensors` are at fault.
    """

    def __init__(
        self, count: int, channels: tuple[str, ...], *, one_machine: bool, sensors: tuple[str, ...] = ()
    ) -> None:
        self.channels = channels
        self.sensors = sensors
        self.one_machine = one_machine
        self.times = np.zeros(count, "datetime64[us]")
        self.machines = np.zeros(count, np.int64)
        self.status_codes = np.zeros(count, np.uint8)
        self.scores = np.full(count, np.nan)
        self.thresholds = np.zeros(count)
        self.alarm_codes = np.zeros(count, np.uint8)
        self.contributions = np.full((count, len(channels)), np.nan)
        self.faults = np.zeros((count, len(sensors)), np.bool_)

    @property
    def scored(self) -> npt.NDArray[np.bool_]:
        """Which rows have a score, (N,)."""
        is_scored: npt.NDArray[np.bool_] = self.status_codes == SCORED
        return is_scored

    @property
    def anomalous(self) -> npt.NDArray[np.bool_]:
        """Which rows are scored and above the threshold, (N,)."""
        is_anomalous: npt.NDArray[np.bool_] = self.scored & (self.scores > self.thresholds)
        return is_anomalous

    def alerts(self) -> list[Alert]:
        """The alarms raised and cleared, in order."""
        rows = np.nonzero((self.alarm_codes == RAISED) | (self.alarm_codes == CLEARED))[0]
        return [alert for row in rows if (alert := self[int(row)].alert()) is not None]

    def __len__(self) -> int:
        return len(self.times)

    @overload
    def __getitem__(self, index: int) -> Verdict: ...
    @overload
    def __getitem__(self, index: slice) -> list[Verdict]: ...
    def __getitem__(self, index: int | slice) -> Verdict | list[Verdict]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return build_verdict(
            int(self.times[index].astype(np.int64)),
            None if self.one_machine else int(self.machines[index]),
            int(self.status_codes[index]),
            float(self.scores[index]),
            float(self.thresholds[index]),
            int(self.alarm_codes[index]),
            self.channels,
            self.contributions[index].tolist(),
            names_of(self.sensors, self.faults[index]),
        )

    def __iter__(self) -> Iterator[Verdict]:
        for row in range(len(self)):
            yield self[row]


def build_verdict(
    microseconds: int,
    machine: int | None,
    status: int,
    score: float,
    threshold: float,
    alarm: int,
    channels: tuple[str, ...],
    contributions: Sequence[float],
    fault_channels: tuple[str, ...] = (),
) -> Verdict:
    """A `Verdict` from codes; score and contributions are left out unless the status is `scored`."""
    verdict = _new(Verdict)
    if status == SCORED:
        codes = (microseconds, machine, status, score, threshold, score > threshold, alarm, channels, contributions, ())
        verdict._codes = codes
    else:
        verdict._codes = (microseconds, machine, status, None, threshold, None, alarm, (), None, fault_channels)
    return verdict


_new = object.__new__


def names_of(sensors: tuple[str, ...], faults: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """The names of the sensors that are at fault, `faults` (S,)."""
    return tuple(name for name, is_faulty in zip(sensors, faults.tolist(), strict=True) if is_faulty)
