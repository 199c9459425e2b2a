"""The gateway as it is now, for the page and the metrics: a `Status`, made in the gateway's thread and never changed after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.gateway.desk import Desk
from edge_runtime.gateway.fleet import Fleet
from edge_runtime.gateway.status import BundleStatus, MachineStatus


def machine_status(fleet: Fleet, machine: int, desk: Desk, wall: float, monotonic: float) -> MachineStatus:
    """One machine, by its row; `wall` and `monotonic` are the same moment, seconds."""
    name, alert, state = fleet.names[machine], fleet.open.get(machine), fleet.state_name(machine)
    heard, score = float(fleet.heard[machine]), float(fleet.scores[machine])
    return MachineStatus(
        name,
        fleet.manifest.name,
        state,
        float(fleet.since[machine]),
        wall - (monotonic - heard) if heard > -np.inf else None,
        score if score == score else None,
        float(fleet.thresholds[machine]),
        alert,
        alert in desk.acknowledged,
        desk.work.is_on(name, round(wall * 1e6)),
        fleet.faults.get(machine, ()) if state == "sensor_fault" else (),
        int(fleet.counts[machine]),
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
