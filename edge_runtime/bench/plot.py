"""A picture of how long readings take, one curve for each engine and variant (extra: plot)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from edge_runtime.bench.result import Bench, Result
from edge_runtime.errors import ExtraMissingError, InputError
from edge_runtime.files import write_whole

FORMATS = ("png", "svg", "pdf")
_INK, _MUTED = "#1f2933", "#7b8794"
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart with every kind of color vision (Okabe and Ito, Color Universal Design, 2008); the dashes tell them apart too."""
_DASHES = ("-", "--", "-.", (0, (1, 1.2)))


def check_target(path: str | Path) -> None:
    """Find out before anything is measured. Raises `InputError` for another kind of file or no such folder, `ExtraMissingError` without matplotlib."""
    target = Path(path)
    if target.suffix[1:].lower() not in FORMATS:
        raise InputError(f"{target}: expected a picture ending in .{', .'.join(FORMATS)}, got {target.suffix!r}")
    if not target.parent.is_dir():
        raise InputError(f"{target}: expected a folder {target.parent}, found none")
    _figure()


def plot_bench(path: str | Path, bench: Bench) -> None:
    """Draw the share of the readings that take longer than a time, against the time, both logarithmic: p50 and p99 are marked.

    The share that takes longer, not a histogram: what happens to 1 reading in 1000 is as easy to see as what is usual. Raises
    `InputError`, `ExtraMissingError`, `OutputError`.
    """
    check_target(path)
    target = Path(path)
    results = sorted(bench.results, key=lambda each: each.us_p50)
    figure = _figure()(figsize=(9, 5 + 0.12 * len(results)), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(results):
        _draw(axes, result, _COLORS[index % len(_COLORS)], _DASHES[index % len(_DASHES)])
    _finish(axes, results)
    figure.suptitle(f"{bench.bundle} on {bench.device.board}: time a reading", color=_INK, fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=target.suffix[1:].lower(), dpi=120)
    write_whole(target, buffer.getvalue())


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ExtraMissingError("drawing a plot", "plot", "matplotlib") from None
    return Figure


def _draw(axes: Any, result: Result, color: str, dashes: Any) -> None:
    edges, shares = longer_than(result)
    label = f"{result.variant} on {result.engine}: p50 {_us(result.us_p50)}, p99 {_us(result.us_p99)} us"
    axes.plot(edges, shares, color=color, linestyle=dashes, linewidth=1.6, label=label)
    for marker, us, share in (("o", result.us_p50, 0.5), ("D", result.us_p99, 0.01)):
        axes.plot([us], [share], marker, color=color, markersize=6, markeredgecolor="white", clip_on=False)


def longer_than(result: Result) -> tuple[list[float], list[float]]:
    """Times in microseconds, and the share of the readings that took longer than each: from all of them to the last bin but one."""
    bins = result.histogram_us
    total = left = sum(count for _, count in bins)
    # The bins have no lower end of their own; each is as many times wider than the one before.
    first = bins[0][0] ** 2 / bins[1][0] if bins[1:] else bins[0][0]
    edges, shares = [first], [1.0]
    for edge, count in bins:
        left -= count
        if left <= 0:
            break
        edges.append(edge)
        shares.append(left / total)
    return [*edges, result.us_worst], [*shares, shares[-1]]


def _us(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def _finish(axes: Any, results: list[Result]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("time a reading, microseconds (the end of a curve is the worst)")
    axes.set_ylabel("readings that take longer")
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda us, _: f"{us:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks([1, 0.5, *(10.0**-power for power in range(1, 7))])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: "all" if share == 1 else f"1 in {round(1 / share)}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(min(0.001, 0.5 / max(each.readings for each in results)), 1.0)
    for share, name in ((0.5, "p50"), (0.01, "p99")):
        axes.axhline(share, color=_MUTED, linewidth=0.7, alpha=0.6)
        axes.annotate(name, (1, share), xycoords=("axes fraction", "data"), xytext=(-4, 2), textcoords="offset points",
                      ha="right", color=_MUTED, fontsize=8)  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    axes.grid(color=_MUTED, alpha=0.2)
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False, fontsize=8, ncols=1 if len(results) < 3 else 2
    )
