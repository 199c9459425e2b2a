"""The report's pictures, each as the text of one SVG file that refers to nothing outside itself."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.readings import ACTIVE, RAISED, Verdicts
from training.evaluate import ranked_scores
from training.extra import import_extra
from training.fault_recall import SIZES, FaultRecall
from training.fit import Epoch
from training.metrics import average_precision, precision_recall, runs
from training.report import draw_loss

INK, MUTED, ALARM, EVENT = "#1f2933", "#7b8794", "#c81e1e", "#f0b429"
LINES = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#57534e")
MOST_POINTS = 2_000
"""A longer timeline shows the least and the greatest score of so many equal pieces."""
MOST_BARS = 20
"""The inputs with the largest contributions that are drawn."""


def loss_chart(history: Sequence[Epoch]) -> str:
    """The losses of every epoch."""
    return _draw(lambda figure: draw_loss(figure.subplots(), history), 3.0)


def score_chart(scores: npt.NDArray[np.float64], used: tuple[str, float], rules: Mapping[str, float]) -> str:
    """The distribution of held-out normal scores (N,) with the threshold in use and those of other rules, by name."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        values = [*rules.values(), used[1], float(scores.max())]
        is_wide = scores.min() > 0 and max(values) > 10 * scores.min()
        low = float(scores.min()) if is_wide else min(0.0, float(scores.min()))
        edges = (np.geomspace if is_wide else np.linspace)(low, max(values) * 1.05, 61)
        axes.hist(scores, bins=edges, color=MUTED, alpha=0.6, label=f"{len(scores)} held-out normal scores")
        for index, (name, value) in enumerate(sorted(rules.items(), key=lambda rule: rule[1])):
            color = LINES[index % len(LINES)]
            axes.axvline(value, color=color, linewidth=1.4, linestyle="--", label=f"{name}: {value:.4g}")
        axes.axvline(used[1], color=ALARM, linewidth=2.2, label=f"in use, {used[0]}: {used[1]:.4g}")
        axes.set(xlabel="score", ylabel="windows")
        if is_wide:
            _use_log(axes, "x")
        axes.margins(x=0.01)
        _finish(axes)
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)

    return _draw(draw, 3.6)


def timeline_chart(verdicts: Verdicts, labels: npt.NDArray[np.bool_] | None = None) -> str:
    """Scores against the threshold over time, and below them when an alarm was up, what was labelled, and what has no score."""

    def draw(figure: Any) -> None:
        dates = import_extra("matplotlib.dates", "the report")
        strips = {"alarm": (np.isin(verdicts.alarm_codes, (RAISED, ACTIVE)), ALARM)}
        if labels is not None:
            strips["labelled anomalous"] = (labels, EVENT)
        strips["no score"] = (~verdicts.scored, MUTED)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(7, len(strips)))
        rows = _thinned(verdicts.scores)
        times = dates.date2num(verdicts.times)
        upper.plot(times[rows], verdicts.scores[rows], color=INK, linewidth=0.9, label="score")
        upper.plot(
            times[rows], verdicts.thresholds[rows], color=ALARM, linewidth=1.2, linestyle="--", label="threshold"
        )
        is_positive = verdicts.scored.any() and (verdicts.scores[verdicts.scored] > 0).all()
        upper.set_ylabel("score")
        if is_positive:
            _use_log(upper, "y")
        ends = np.append(times[1:], times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 1.0))
        for place, (mask, color) in enumerate(strips.values()):
            spans = [(times[first], ends[last - 1] - times[first]) for first, last in runs(mask)]
            lower.broken_barh(spans, (place - 0.35, 0.7), facecolors=color)
        lower.set(ylim=(len(strips) - 0.5, -0.5), xlim=(times[0], ends[-1]))
        lower.set_yticks(range(len(strips)), list(strips))
        locator = dates.AutoDateLocator(minticks=3, maxticks=7)
        lower.xaxis.set_major_locator(locator)
        lower.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
        lower.set_xlabel("time (UTC)")
        _finish(upper)
        _finish(lower)
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)

    return _draw(draw, 3.8)


def contribution_chart(shares: Mapping[str, npt.NDArray[np.float64]], names: Sequence[str]) -> str:
    """Each input's mean share of the score (F,), for one or more sets of readings; the largest first."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        order = np.argsort(-np.max(list(shares.values()), axis=0), kind="stable")[:MOST_BARS]
        height = 0.8 / len(shares)
        for index, (label, share) in enumerate(shares.items()):
            axes.barh(
                np.arange(len(order)) + (index - (len(shares) - 1) / 2) * height, share[order], height, label=label,
                color=(MUTED, ALARM)[index % 2],
            )  # fmt: skip
        axes.set_yticks(range(len(order)), [_short(names[i]) for i in order])
        axes.invert_yaxis()
        axes.set(xlabel="mean share of the score", xlim=(0, None))
        _finish(axes)
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)

    return _draw(draw, 1.5 + 0.28 * min(len(names), MOST_BARS) * max(1, len(shares) / 1.5))


def precision_recall_chart(verdicts: Verdicts, labels: npt.NDArray[np.bool_], point: tuple[float, float] | None) -> str:
    """Precision against recall through all thresholds; `point`: (recall, precision) at the frozen one."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        ranked, scores = ranked_scores(verdicts, labels)
        precision, recall, _ = precision_recall(ranked, scores)
        rows = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), MOST_POINTS)).round().astype(np.int64))
        curve = f"all thresholds, average precision {average_precision(ranked, scores):.3f}"
        axes.step(recall[rows], precision[rows], where="post", color=LINES[0], label=curve)
        share = float(ranked.mean())
        axes.axhline(share, color=MUTED, linewidth=1, linestyle=":", label=f"always anomalous: {share:.3f}")
        if point is not None:
            axes.plot(*point, "o", color=ALARM, markersize=8, label="the frozen threshold")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.05))
        _finish(axes)
        figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)

    return _draw(draw, 3.8)


def fault_chart(recall: FaultRecall) -> str:
    """The share found against the size of the fault, by kind."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for index, (kind, shares) in enumerate(recall.found.items()):
            axes.plot(
                SIZES, shares, marker="o", color=LINES[index % len(LINES)], linewidth=1.4, markersize=4,
                linestyle=("-", "--")[index // len(LINES) % 2], label=kind.replace("_", " "),
            )  # fmt: skip
        axes.axhline(recall.undisturbed, color=MUTED, linewidth=1, linestyle=":", label="no fault")
        axes.set(xlabel="size of the fault (normal spreads of its channel)", ylabel="share found", ylim=(-0.03, 1.03))
        _finish(axes)
        figure.legend(loc="outside lower left", ncols=4, frameon=False, fontsize=9)

    return _draw(draw, 3.4)


def _draw(draw: Callable[[Any], None], height: float) -> str:
    """Draw on a figure 6.4 inches wide; returns the SVG. Raises `ExtraMissingError` without matplotlib."""
    matplotlib = import_extra("matplotlib", "the report")
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    # parse_math: a channel may be called "$x$". fonttype: text stays text, in a font the reader has; hashsalt: the same
    # data give the same bytes.
    settings: dict[str, Any] = {
        "text.parse_math": False, "svg.fonttype": "none", "svg.hashsalt": "anomalite", "font.size": 10,
        "font.family": "sans-serif", "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK,
    }  # fmt: skip
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # the reader's browser may well have it
        figure = Figure(figsize=(6.4, height), layout="constrained")
        draw(figure)
        figure.savefig(buffer, format="svg", metadata=nothing)
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]  # without the document type, which names an address


def _use_log(axes: Any, which: str) -> None:
    """A logarithmic axis "x" or "y" whose numbers are plain: powers would need the math that names must not have."""
    ticker: Any = import_extra("matplotlib.ticker", "the report")
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(ticker.NullFormatter())


def _finish(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color=MUTED, alpha=0.25)


def _thinned(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The rows of a long series (N,) to draw: of each of `MOST_POINTS` equal pieces those with the least and greatest score."""
    if len(scores) <= 2 * MOST_POINTS:
        return np.arange(len(scores))
    borders = np.linspace(0, len(scores), MOST_POINTS + 1).round().astype(np.int64)
    rows: set[int] = set()
    for first, end in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        piece = scores[first:end]
        rows.add(first)
        if not np.isnan(piece).all():
            rows |= {first + int(np.nanargmin(piece)), first + int(np.nanargmax(piece))}
    return np.array(sorted(rows))


def _short(name: str) -> str:
    """A name that leaves room for the picture."""
    return name if len(name) <= 28 else f"{name[:27]}…"
