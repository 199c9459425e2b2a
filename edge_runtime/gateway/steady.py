"""An engine whose answer to a window does not depend on which others it is handed over with, to the bit.

What was scored in a tick with nineteen other machines is scored again alone, after a crash or by `anomalite replay`, and has to be the same
number. Engines choose a kernel by the number of windows; which of their answers that changes is tried when a bundle is opened, on the very model
and CPU (docs/decisions/0018-same-bits.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.detector import Detector
from edge_runtime.engines import Engine
from edge_runtime.opening import open_variant, variant_for

SIZES = (2, 3, 4, 5, 7, 8, 16, 31, 64)
"""Of the calls that are tried."""
Way = Literal["as it is", "singles doubled", "one at a time"]

Windows = npt.NDArray[np.float32]


class SteadyEngine:
    """An `Engine` around another one, with as many windows a call as give the same bits."""

    def __init__(self, engine: Engine, shape: tuple[int, int], way: Way) -> None:
        self.way = way
        """`as it is`; `singles doubled`: a window that comes alone is run beside itself; `one at a time`."""
        self.best_batch = 1 if way == "one at a time" else engine.best_batch
        self._engine = engine
        self._pair = np.empty((2, *shape), np.float32)

    def run(self, windows: Windows) -> Windows:
        """As `Engine.run`; of at most `best_batch` windows, as a detector hands over."""
        if self.way == "one at a time" and len(windows) > 1:
            return np.concatenate([self._engine.run(windows[row : row + 1]) for row in range(len(windows))])
        if self.way == "singles doubled" and len(windows) == 1:
            self._pair[:] = windows
            return self._engine.run(self._pair)[:1]
        return self._engine.run(windows)

    def close(self) -> None:
        """As `Engine.close`."""
        self._engine.close()


def steady(engine: Engine, shape: tuple[int, int], most: int | None = None) -> SteadyEngine:
    """Try the engine on random windows (T, F) of the given shape, and wrap it in the way that gives the same bits.

    `most`: the most windows there will be in a call (None: the engine's best). Raises `EngineError`.
    """
    most = most or engine.best_batch
    if most == 1:
        return SteadyEngine(engine, shape, "one at a time")
    sizes = sorted({min(size, most) for size in SIZES})
    rng = np.random.default_rng(18)
    windows = rng.normal(0, 1, (sizes[-1] + sizes[-1] % 2, *shape)).astype(np.float32)
    windows[::4] *= 30  # far from normal, where rounding is another
    pairs = np.concatenate([engine.run(windows[row : row + 2]) for row in range(0, len(windows), 2)])
    for rows in _trials(len(windows), sizes, rng):
        if engine.run(windows[rows]).tobytes() != pairs[rows].tobytes():
            return SteadyEngine(engine, shape, "one at a time")
    singles = np.concatenate([engine.run(windows[row : row + 1]) for row in range(min(16, len(windows)))])
    are_same = singles.tobytes() == pairs[: len(singles)].tobytes()
    return SteadyEngine(engine, shape, "as it is" if are_same else "singles doubled")


def _trials(count: int, sizes: list[int], rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Which of `count` windows go together, in which order: each size at least twice, and every place of a call several times."""
    for size in sizes:
        for start in range(0, max(2 * size, 16), size):
            yield rng.permutation(count)[:size] if start else np.arange(count)[-size:]


def open_steady(bundle: Bundle, engine: str = "auto", variant: str | None = None, *, machines: int = 1) -> Detector:
    """A detector whose `update_many` gives a machine's readings the same bits whoever else is in the call.

    `engine` and `variant` as in `load`, the choice that was measured on this board included. Raises `EngineError`, `ExtraMissingError`.
    """
    name, chosen = variant_for(bundle.source, bundle, engine, variant)
    opened = open_variant(bundle, name, chosen)
    m = opened.manifest
    same = steady(opened.engine, m.window_shape, opened.batch)
    batch = min(same.best_batch, opened.batch)
    return Detector(m, same, machines=machines, batch=batch, engine_name=name, variant_name=chosen.name)
