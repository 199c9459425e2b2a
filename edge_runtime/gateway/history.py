"""Verdicts of an interval as one row a machine: what is kept of months."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.gateway.fleet import Fleet
from edge_runtime.gateway.store_rows import HistoryRow
from edge_runtime.readings import STATUSES, Verdicts


class Intervals:
    """Gathers the verdicts of M machines from one `rows` to the next."""

    def __init__(self, machines: int, start: int) -> None:
        """`start`: of the interval, microseconds since 1970 UTC."""
        self._begin = start
        self._start = np.full(machines, start)
        self._counts = np.zeros((machines, len(STATUSES)), np.int32)
        self._scored = np.zeros(machines, np.int32)
        self._lowest = np.full(machines, np.inf)
        self._highest = np.full(machines, -np.inf)
        self._sum = np.zeros(machines)

    def grow(self, machines: int) -> None:
        """Make room for so many."""
        if machines > len(self._sum):
            larger = Intervals(machines, self._begin)
            for name in ("_start", "_counts", "_scored", "_lowest", "_highest", "_sum"):
                getattr(larger, name)[: len(self._sum)] = getattr(self, name)
            self.__dict__.update(larger.__dict__)

    def take(self, verdicts: Verdicts) -> None:
        """Verdicts (B,), of which a machine may have several."""
        ids, scores = verdicts.machines, verdicts.scores
        np.add.at(self._counts, (ids, verdicts.status_codes), 1)
        scored = scores == scores
        whose, scores = ids[scored], scores[scored]
        np.add.at(self._scored, whose, 1)
        np.add.at(self._sum, whose, scores)
        np.minimum.at(self._lowest, whose, scores)
        np.maximum.at(self._highest, whose, scores)

    def rows(self, fleet: Fleet, machines: npt.NDArray[np.int64], now: int) -> list[HistoryRow]:
        """A row for each of some machines of the fleet that had readings; their next interval begins at `now`."""
        rows = []
        for machine in machines[self._counts[machines].any(axis=1)].tolist():
            scored = int(self._scored[machine])
            rows.append(
                HistoryRow(
                    fleet.names[machine],
                    int(self._start[machine]),
                    float(self._lowest[machine]) if scored else np.nan,
                    float(self._sum[machine]) / scored if scored else np.nan,
                    float(self._highest[machine]) if scored else np.nan,
                    float(fleet.thresholds[machine]),
                    tuple(self._counts[machine].tolist()),
                )
            )
        self._start[machines], self._lowest[machines], self._highest[machines] = now, np.inf, -np.inf
        self._counts[machines] = self._scored[machines] = self._sum[machines] = 0
        return rows
