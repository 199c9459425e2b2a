"""An engine whose answer to a window does not depend on which others it is handed over with, to the bit.

What was scored in a tick with nineteen other machines is scored again alone, after a crash or by `anomalite replay`, and has to be the same
number. Engines choose a kernel by the number of windows; up to which number that changes nothing is tried when a bundle is opened, on the very
model and CPU (docs/decisions/0018-same-bits.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle import Bundle
from edge_runtime.detector import Detector
from edge_runtime.engines import Engine
from edge_runtime.opening import open_variant, variant_for

SIZES = (2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 24, 31, 33, 48, 64)
"""Of the calls that are tried."""

TRIED = 64
"""Windows that are tried in calls of each size: the bits of a few in a hundred may be all that differs."""
ALONE = 256
"""Windows that are tried alone."""

LARGEST_CALL = 16
"""Windows of a gateway's calls: with 64 a window costs as much, and ONNX Runtime keeps a megabyte more."""
Windows = npt.NDArray[np.float32]


class SteadyEngine:
    """An `Engine` around another one, with as many windows a call as give the same bits."""

    def __init__(self, engine: Engine, shape: tuple[int, int], most: int, *, doubles: bool) -> None:
        self.best_batch = most
        self.doubles = doubles
        """Whether a window that comes alone is run beside itself, since alone it would get other bits."""
        self._engine = engine
        self._pair = np.empty((2, *shape), np.float32)

    def run(self, windows: Windows) -> Windows:
        """As `Engine.run`."""
        count, most = len(windows), self.best_batch
        if count > most:
            return np.concatenate([self.run(windows[row : row + most]) for row in range(0, count, most)])
        if count == 1 and self.doubles:
            self._pair[:] = windows
            return self._engine.run(self._pair)[:1]
        return self._engine.run(windows)

    def close(self) -> None:
        """As `Engine.close`."""
        self._engine.close()


def steady(engine: Engine, shape: tuple[int, int], most: int | None = None) -> SteadyEngine:
    """Try the engine on random windows (T, F) of the given shape, and wrap it so that each gets the same bits in any call.

    `most`: the most windows there will be in a call (None: the engine's best). Raises `EngineError`.
    """
    most = most or engine.best_batch
    sizes = sorted({min(size, most) for size in SIZES})
    random = Random(18)  # not numpy's: to import that takes 2 MB for good
    windows = _windows(random, max(TRIED, sizes[-1]), shape)
    proven = 1
    pairs = windows[:0]
    if most > 1:
        pairs = np.concatenate([engine.run(windows[row : row + 2]) for row in range(0, len(windows), 2)])
        for size in sizes:
            if not all(_same(engine, windows, rows, pairs) for rows in _trials(len(windows), size, random)):
                break
            proven = size
    if proven == 1:
        return SteadyEngine(engine, shape, 1, doubles=False)
    # To the first that differs: where one alone has other bits, that is mostly the first, but of small models only a few in a hundred.
    alone = _windows(random, ALONE, shape)
    doubles = any(
        engine.run(alone[row : row + 1]).tobytes() != engine.run(alone[[row, row - 1]])[:1].tobytes()
        for row in range(ALONE)
    )
    return SteadyEngine(engine, shape, proven, doubles=doubles)


def _windows(random: Random, count: int, shape: tuple[int, int]) -> Windows:
    """Random ones (count, T, F), some far from normal, where other digits are lost."""
    numbers = np.frombuffer(random.randbytes(4 * count * shape[0] * shape[1]), "<i4") / 2.0**30
    windows = numbers.astype(np.float32).reshape(count, *shape)
    windows[::4] *= 30
    return windows


def _same(engine: Engine, windows: Windows, rows: npt.NDArray[np.int64], expected: Windows) -> bool:
    return engine.run(windows[rows]).tobytes() == expected[rows].tobytes()


def _trials(count: int, size: int, random: Random) -> Iterator[npt.NDArray[np.int64]]:
    """Which of `count` windows go together, in which order: at least two calls, and every window of a small size in some place."""
    yield np.arange(count)[-size:]
    for _ in range(max(1, TRIED // size)):
        yield np.array(random.sample(range(count), size))


def open_steady(bundle: Bundle, engine: str = "auto", variant: str | None = None, *, machines: int = 1) -> Detector:
    """A detector whose `update_many` gives a machine's readings the same bits whoever else is in the call.

    `engine` and `variant` as in `load`, the choice that was measured on this board included. Raises `EngineError`, `ExtraMissingError`.
    """
    name, chosen = variant_for(bundle.source, bundle, engine, variant)
    opened = open_variant(bundle, name, chosen)
    m = opened.manifest
    same = steady(opened.engine, m.window_shape, min(opened.batch, LARGEST_CALL))
    return Detector(m, same, machines=machines, engine_name=name, variant_name=chosen.name)
