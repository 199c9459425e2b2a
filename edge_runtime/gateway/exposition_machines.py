"""The metrics by machine, as text. prometheus_client keeps an object and several strings for each line until all are written: for 10,000
machines that took twice the memory and four times as long, and the gateway's thread had to wait meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from edge_runtime.gateway.status import MachineStatus, Status

BY_MACHINE: tuple[tuple[str, str, str, Callable[[MachineStatus], float | None]], ...] = (
    ("counter", "readings_total", "Readings taken in.", lambda machine: machine.readings),
    ("gauge", "score", "Score of the last scored reading.", lambda machine: machine.score),
    ("gauge", "threshold", "Score above which a reading is anomalous.", lambda machine: machine.threshold),
    (
        "gauge",
        "last_reading_timestamp_seconds",
        "When the last reading arrived, seconds since 1970.",
        lambda machine: machine.last_reading,
    ),
)
"""Kind, name, what it is, and where in the status it stands; None has no line."""
AT_A_TIME = 250
"""Machines whose lines are made before another thread may go on."""


def machine_lines(status: Status, alerts: Mapping[tuple[str, str], int]) -> Iterator[bytes]:
    """The text of the families that have a line for each machine, a piece at a time; `alerts`: events by machine and kind."""
    from prometheus_client import utils

    written: Callable[[float], str] = utils.floatToGoString

    machines = status.machines
    for kind, name, what, of in BY_MACHINE:
        yield _head(kind, name, what)
        for some in _pieces(machines):
            lines = []
            for machine in some:
                value = of(machine)
                if value is not None:
                    lines.append(f"anomalite_{name}{{{_place(machine)}}} {written(value)}\n")
            yield "".join(lines).encode()
    yield _head("gauge", "machine_state", "1 for the state the machine is in.")
    for some in _pieces(machines):
        yield "".join(f'anomalite_machine_state{{{_place(each)},state="{each.state}"}} 1.0\n' for each in some).encode()
    yield _head("counter", "alerts_total", "Alert events by machine and kind.")
    for some in _pieces(machines):
        yield "".join(
            _alert_line(each.name, "raised", 0) for each in some if (each.name, "raised") not in alerts
        ).encode()
    yield "".join(_alert_line(machine, kind, count) for (machine, kind), count in list(alerts.items())).encode()


def _head(kind: str, name: str, what: str) -> bytes:
    return f"# HELP anomalite_{name} {what}\n# TYPE anomalite_{name} {kind}\n".encode()


def _pieces(machines: tuple[MachineStatus, ...]) -> Iterator[tuple[MachineStatus, ...]]:
    for start in range(0, len(machines), AT_A_TIME):
        yield machines[start : start + AT_A_TIME]


def _place(machine: MachineStatus) -> str:
    return f'bundle="{_escaped(machine.bundle)}",machine="{_escaped(machine.name)}"'


def _alert_line(machine: str, kind: str, count: int) -> str:
    return f'anomalite_alerts_total{{kind="{kind}",machine="{_escaped(machine)}"}} {count:.1f}\n'


def _escaped(text: str) -> str:
    """A label's value. Half a surrogate pair, which JSON allows, must not cost the whole page."""
    if not text.isascii():
        text = text.encode(errors="replace").decode()
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
