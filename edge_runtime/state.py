"""What a detector remembers of its machines, as bytes: a machine goes on elsewhere, or later, as if nothing had happened.

The bytes of a machine: a mark, a fingerprint of the layout (names, types and shapes of all that is in them), a checksum, and then every
step's arrays one after the other, little-endian. Only what the future depends on: of the window T - 1 readings. They belong to the bundle the
detector was opened from; whoever keeps them keeps its digest with them.
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import numpy.typing as npt

from edge_runtime.clean import NEVER
from edge_runtime.detector import Detector
from edge_runtime.digest import sha256
from edge_runtime.errors import ReadingError, StateError

FORMAT = 1
"""Of these bytes; a change of what they mean that the layout does not show is another one."""
_MARK = b"anomalite state\n"
_HEAD = len(_MARK) + 8 + 4

Machines = npt.NDArray[np.int64]


def remember(detector: Detector, machines: npt.ArrayLike) -> list[bytes]:
    """The states of some machines (B,), as `recall` takes them."""
    some = np.asarray(machines, np.int64)
    records = _gather(detector, some)
    mark = _MARK + _fingerprint(records.dtype)
    bodies, size = records.tobytes(), records.dtype.itemsize
    parts = (bodies[start : start + size] for start in range(0, len(bodies), size))
    return [mark + _checksum(mark, part) + part for part in parts]


def recall(detector: Detector, machine: int, state: bytes) -> None:
    """Let a machine go on from a state. Raises `StateError`, and changes nothing, if it is damaged or of another kind of detector."""
    nobody = _gather(detector, np.empty(0, np.int64))
    expected = nobody.dtype.itemsize
    mark, checksum, body = state[: len(_MARK) + 8], state[_HEAD - 4 : _HEAD], state[_HEAD:]
    if mark[: len(_MARK)] != _MARK or checksum != _checksum(mark, body):
        raise StateError(f"expected a machine's state of {_HEAD + expected} bytes, got {len(state)} that are damaged")
    if mark[len(_MARK) :] != _fingerprint(nobody.dtype) or len(body) != expected:
        raise StateError("expected a machine's state of this bundle and version, got one that is laid out otherwise")
    _scatter(detector, np.array([machine], np.int64), np.frombuffer(body, nobody.dtype))


def shift(detector: Detector, machines: npt.ArrayLike, microseconds: int) -> None:
    """Move all times that are remembered of some machines (B,), as if everything had happened so much later (below zero: earlier).

    With a sampling grid, by the nearest whole number of its periods.
    """
    some = np.asarray(machines, np.int64)
    sampling = detector.manifest.sampling
    periods = 0
    if sampling.grid is not None:
        period = round(sampling.period_s * 1e6)
        periods = round(microseconds / period)
        microseconds = periods * period
    records = _gather(detector, some)
    for name in records.dtype.names or ():
        by = microseconds if name.endswith("time") else periods if name.endswith("period") else 0
        if by:
            records[name] += np.where(np.abs(records[name]) < -NEVER // 2, by, 0)  # not those that stand for never
    _scatter(detector, some, records)


def grown(detector: Detector, machines: int) -> Detector:
    """A detector with room for more machines, on the same engine and in the same state; the old one is of no more use."""
    if machines < detector.machines:
        raise ReadingError(f"expected at least {detector.machines} machines, got {machines}")
    larger = Detector(
        detector.manifest,
        detector.engine,
        machines=machines,
        batch=detector.batch,
        engine_name=detector.engine_name,
        variant_name=detector.variant_name,
    )
    everyone = np.arange(detector.machines)
    _scatter(larger, everyone, _gather(detector, everyone))
    return larger


def _gather(detector: Detector, machines: Machines) -> npt.NDArray[np.void]:
    """All that is remembered of some machines, (B,) records with a field `step.name` each."""
    arrays = {
        f"{step}.{name}": array
        for step, each in detector.steps().items()
        for name, array in each.remembered(machines).items()
    }
    layout = [(name, array.dtype.newbyteorder("<"), array.shape[1:]) for name, array in arrays.items()]
    records = np.empty(len(machines), layout)
    for name, array in arrays.items():
        records[name] = array
    return records


def _scatter(detector: Detector, machines: Machines, records: npt.NDArray[np.void]) -> None:
    """Let the machines go on from such records."""
    for step, each in detector.steps().items():
        names = [name for name in records.dtype.names or () if name.startswith(f"{step}.")]
        each.recall(machines, {name[len(step) + 1 :]: records[name] for name in names})


def _fingerprint(layout: np.dtype[np.void]) -> bytes:
    """Eight bytes that tell a layout from all others."""
    return bytes.fromhex(sha256(f"{FORMAT} {layout.descr}".encode())[:16])


def _checksum(mark: bytes, body: bytes) -> bytes:
    return crc32(body, crc32(mark)).to_bytes(4, "little")
