"""One engine and variant in this process: opened, warmed up, and timed in turn with the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bench import latency
from edge_runtime.bench.result import name_of
from edge_runtime.bench.stages import Split
from edge_runtime.bench.usual import readings
from edge_runtime.bundle import Bundle
from edge_runtime.golden import check_golden, read_golden
from edge_runtime.manifest import Variant
from edge_runtime.opening import open_variant
from edge_runtime.prepare import Preparation
from edge_runtime.readings import to_microseconds

STAGES_SHARE, BATCHES_SHARE = 0.3, 0.2
"""How much longer than the seconds of a turn the stages take, and how much longer than all of them the batches."""


class Candidate:
    """A detector on one variant, and what was timed of it so far."""

    def __init__(self, bundle: Bundle, engine: str, variant: Variant, values: Sequence[tuple[float, ...]]) -> None:
        """`values`: of the usual readings, C each. Raises `EngineError` if the engine refuses the model, or no reading is scored."""
        self.engine, self.variant, self.name = engine, variant, name_of(engine, variant.name)
        self._bundle, self._values = bundle, values
        self._period_s = bundle.manifest.sampling.period_s
        self._detector = open_variant(bundle, engine, variant)
        self._stream = readings(values, self._period_s)
        self.unscored = latency.warm_up(self._detector, self._stream)
        """How many readings come before the first that is scored."""
        self._warm_up = self.unscored + latency.WARM_UP
        self._latencies = latency.Latencies()
        self._split = Split(self._detector, readings(values, self._period_s), self._warm_up)

    def take(self, seconds: float) -> None:
        """One turn. Raises `EngineError`."""
        self._latencies.take(self._detector, self._stream, seconds)
        self._split.take(STAGES_SHARE * seconds)

    def finish(self, seconds: float) -> dict[str, Any]:
        """Everything as fields of `Result`, after batches were tried for a share of the seconds; the model is closed."""
        batch, rate = latency.best_batch(
            self._detector, self._windows(), self.variant.largest_batch, BATCHES_SHARE * seconds
        )
        self._detector.close()
        fields = latency.as_json(self._latencies.us)
        stages = self._split.stages(fields["us_p50"])
        return {
            **fields,
            "engine": self.engine,
            "variant": self.variant.name,
            "passed_parity": self._passed(),
            "not_scored": self._latencies.not_scored,
            "warm_up": self._warm_up,
            "stages": stages.spread,
            "shared_out": stages.shared_out,
            "best_batch": batch,
            "best_batch_readings_per_s": rate,
        }

    def _windows(self) -> npt.NDArray[np.float32]:
        """The first `LARGEST_BATCH` windows (B, T, F) of the usual readings, the same ones again if there are too few."""
        rows = list(islice(readings(self._values, self._period_s), self.unscored + latency.LARGEST_BATCH))
        times = np.array([to_microseconds(row.time) for row in rows], np.int64)
        preparation = Preparation(self._bundle.manifest.preparation)
        found, _, _ = preparation.windows_of(np.array([row.values for row in rows]), times)
        return np.resize(found, (latency.LARGEST_BATCH, *found.shape[1:]))

    def _passed(self) -> bool:
        """Whether export proved the variant, and it answers the golden readings right here."""
        if not self.variant.parity or self._bundle.manifest.golden is None:
            return bool(self.variant.parity)
        return check_golden(self._bundle, read_golden(self._bundle), self.variant, self.engine).passed
