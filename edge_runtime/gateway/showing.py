"""The gateway as it is now, for the page and the metrics: a `Status`, made in the gateway's thread and never changed after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edge_runtime.gateway.fleet import NEVER_SEEN, Fleet
from edge_runtime.gateway.status import BundleStatus, MachineStatus


class Marks(NamedTuple):
    """What people have said of machines and alerts."""

    acknowledged: frozenset[str]
    """Alerts, by id, that are open."""
    at_work: frozenset[str]
    """Machines that are being worked on."""


def machine_statuses(fleets: Sequence[Fleet], marks: Marks, wall: float, monotonic: float) -> Iterator[MachineStatus]:
    """Every machine, fleet by fleet."""
    for fleet in fleets:
        count, bundle = len(fleet.names), fleet.manifest.name
        columns = (
            fleet.states[:count], fleet.since[:count], fleet.heard[:count], fleet.scores[:count],
            fleet.thresholds[:count], fleet.counts[:count],
        )  # fmt: skip
        rows = zip(fleet.names, *(column.tolist() for column in columns), strict=True)
        for machine, (name, state, since, heard, score, threshold, readings) in enumerate(rows):
            alert = fleet.open.get(machine)
            yield MachineStatus(
                name,
                bundle,
                fleet.state_name(machine),
                since,
                None if state == NEVER_SEEN or heard < 0 else wall - (monotonic - heard),
                score if score == score else None,
                threshold,
                alert,
                alert in marks.acknowledged,
                name in marks.at_work,
                fleet.faults.get(machine, ()) if fleet.state_name(machine) == "sensor_fault" else (),
                readings,
            )


def bundle_statuses(fleets: Sequence[Fleet], files: Sequence[str]) -> tuple[BundleStatus, ...]:
    """The bundles in use, and the files they are from."""
    return tuple(
        BundleStatus(
            fleet.manifest.name,
            file,
            fleet.bundle.digest,
            fleet.manifest.family,
            fleet.detector.engine_name,
            fleet.detector.variant_name,
            len(fleet.names),
            fleet.manifest.channel_names,
        )
        for fleet, file in zip(fleets, files, strict=True)
    )
