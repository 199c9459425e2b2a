"""What the gateway counts and times. Only its own thread writes here, and cheaply; `exposition.py` reads at every scrape.

Numbers are plain Python numbers and lists, which another thread can copy at any time; nothing here locks.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.readings import STATUSES

STAGES = ("decode", "score", "store", "publish")
"""Of a tick: payloads to readings; one `update_many`; one transaction. And from handing a message over to the broker's acknowledgement."""
REFUSALS = ("json", "shape", "type", "time", "channel", "size", "topic", "machine")
"""The reasons of a `PayloadError`."""
STAGE_BOUNDS = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
LATENCY_BOUNDS = (1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)


class Histogram:
    """How many observations, in seconds, were at most each bound. 0.2 us each; those of prometheus_client take five times that."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """Of each bucket by itself; the last one is beyond all bounds."""
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Take one. Time that ran backwards counts as none."""
        seconds = seconds if seconds > 0 else 0.0
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Metrics:
    """Everything the gateway counts since it started."""

    def __init__(self) -> None:
        self.stages = {stage: Histogram(STAGE_BOUNDS) for stage in STAGES}
        """How long each stage took."""
        self.alert_latency = Histogram(LATENCY_BOUNDS)
        """From the arrival of the reading that raised it to the broker's acknowledgement of the alert."""
        self.messages = 0
        """Taken from the inbox."""
        self.dropped = 0
        """Messages that found the inbox full."""
        self.late = 0
        """Readings that were not later than the one before, and changed nothing."""
        self.refused = dict.fromkeys(REFUSALS, 0)
        """Messages by the reason why they could not be used."""
        self.verdicts: dict[str, list[int]] = {}
        """Of each bundle, by the position of the status in `STATUSES`."""
        self.alerts: dict[tuple[str, str], int] = {}
        """Alert events by machine and kind."""
        self.outbox_lost = 0
        """Messages deleted unsent, because the disk limit left no room for them."""
        self.clock_steps = 0
        """How often the wall clock, or that of a machine, was set."""
        self.storage_bytes: dict[str, int] = {}
        """What lies on disk now, by part: `database`, `journal`; and `limit`, how much all of them may take."""

    def refuse(self, reason: str) -> None:
        """One message could not be used."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def count_verdicts(self, bundle: str, status_codes: npt.NDArray[np.uint8]) -> None:
        """Of one `update_many`, (B,)."""
        counts = self.verdicts.setdefault(bundle, [0] * len(STATUSES))
        found = np.bincount(status_codes, minlength=len(STATUSES))
        for code in np.flatnonzero(found).tolist():
            counts[code] += int(found[code])

    def count_alert(self, machine: str, kind: str) -> None:
        """One alert event of the machine, of `AlertEvent.kind`."""
        self.alerts[machine, kind] = self.alerts.get((machine, kind), 0) + 1

    def totals(self) -> dict[str, Any]:
        """The counters by name, for `Status.counters`."""
        return {
            "messages": self.messages,
            "dropped": self.dropped,
            "late": self.late,
            "refused": {reason: count for reason, count in self.refused.items() if count},
            "verdicts": {
                bundle: {status: count for status, count in zip(STATUSES, counts, strict=True) if count}
                for bundle, counts in self.verdicts.items()
            },
            "alerts": sum(count for (_, kind), count in self.alerts.items() if kind == "raised"),
            "outbox_lost": self.outbox_lost,
            "clock_steps": self.clock_steps,
            "storage_bytes": dict(self.storage_bytes),
        }
