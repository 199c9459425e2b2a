"""The picture of `python -m benchmarks scaling`: time and memory against each size, both axes logarithmic, an engine a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.scaling.fit import STRAIGHT

ROWS = ((1, "time", "CPU time, µs"), (2, "memory", "peak memory, MB"))
COLOURS = {"numpy": "#444444", "litert": "#0072b2", "onnx": "#d55e00", "tflite": "#009e73"}
"""Told apart without colour vision too."""


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Write the picture of the results (those of the line of JSON) to `path`."""
    names = list(dict.fromkeys(result["against"] for result in results))
    figure = Figure(figsize=(3.4 * len(names) + 0.6, 6.4), layout="constrained")
    grid = figure.subplots(len(ROWS), len(names), squeeze=False, sharex="col")
    for column, name in enumerate(names):
        for row, (index, kind, label) in enumerate(ROWS):
            axes = grid[row][column]
            _draw_lines(axes, [each for each in results if each["against"] == name], index, kind)
            if column == 0:
                axes.set_ylabel(label)
        grid[-1][column].set_xlabel(name)
    figure.suptitle("How time and memory grow, each engine with its exponent (~: no power law)", fontsize="medium")
    figure.savefig(path, dpi=110)


def _draw_lines(axes: Any, results: list[dict[str, Any]], index: int, kind: str) -> None:
    for result in results:
        sizes, values = [point[0] for point in result["points"]], [point[index] for point in result["points"]]
        label = f"{result['engine']}: {_exponent(result, kind)}"
        axes.plot(sizes, values, "o-", markersize=4, label=label, color=COLOURS.get(result["engine"]))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, labels=[f"{size:,}" for size in sizes])
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=len(results), fontsize="x-small", frameon=False,
        handlelength=1.0, columnspacing=0.6, handletextpad=0.3,
    )  # fmt: skip


def _exponent(result: dict[str, Any], kind: str) -> str:
    exponent = result[f"exponent_{kind}"]
    if exponent is None:
        return "none"
    return f"{'~' if result[f'off_{kind}'] > STRAIGHT else ''}{exponent:.2f}"
