"""A picture of readings, score, threshold and alarm on one time axis (extra: plot)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime.errors import ExtraMissingError, InputError
from edge_runtime.files import write_whole
from edge_runtime.manifest import Manifest
from edge_runtime.readings import ACTIVE, COLLECTING, OFF, RAISED, SENSOR_FAULT, Verdicts
from edge_runtime.tables import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMATS = ("png", "svg", "pdf")
_INK, _MUTED, _ALARM = "#1f2933", "#7b8794", "#c81e1e"
_UNSCORED = ((OFF, "off", "#9aa5b1"), (SENSOR_FAULT, "sensor fault", "#d97706"))
"""Statuses that are shaded behind the scores, with their names and colors."""
_CHANNELS = ("#2563eb", "#d97706", "#059669", "#7c3aed", "#0891b2", "#be185d", "#65a30d", "#57534e")


def plot_verdicts(
    path: str | Path,
    manifest: Manifest,
    table: Table,
    verdicts: Verdicts,
    *,
    trained_until: np.datetime64 | None = None,
) -> None:
    """Draw a table and its verdicts to a PNG, SVG or PDF file.

    Readings before `trained_until` are shaded. Raises `ExtraMissingError` without matplotlib, `InputError` for another kind of
    file, `OutputError` if it cannot be written.
    """
    target = Path(path)
    kind = target.suffix[1:].lower()
    if kind not in FORMATS:
        raise InputError(f"{target}: expected a picture ending in .{', .'.join(FORMATS)}, got {target.suffix!r}")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ExtraMissingError("drawing a plot", "plot", "matplotlib") from None

    figure = Figure(figsize=(11, 7), layout="constrained")
    readings, scores, alarm = figure.subplots(3, 1, sharex=True, height_ratios=(5, 5, 1))
    times = verdicts.times
    _draw_readings(readings, manifest, table)
    _draw_scores(scores, verdicts)
    is_active = (verdicts.alarm_codes == RAISED) | (verdicts.alarm_codes == ACTIVE)
    alarm.fill_between(times, 0, is_active, step="post", color=_ALARM, alpha=0.85, linewidth=0)
    alarm.set(ylim=(0, 1), yticks=(), ylabel="alarm")
    for alert in (each for each in verdicts.alerts() if each.kind == "raised"):
        moment = np.datetime64(alert.time.replace(tzinfo=None))
        for axes in (readings, scores):
            axes.axvline(moment, color=_ALARM, linewidth=1)
        scores.annotate(
            f"alarm {alert.time:%m-%d %H:%M}", (moment, 1), xycoords=("data", "axes fraction"), xytext=(-5, -6),
            textcoords="offset points", ha="right", va="top", color=_ALARM, fontsize=9,
        )  # fmt: skip
    if trained_until is not None:
        for axes in (readings, scores):
            axes.axvspan(times[0], trained_until, color=_MUTED, alpha=0.12, linewidth=0)
        readings.annotate(
            "trained on this part", (0, 0), xycoords="axes fraction", xytext=(6, 6), textcoords="offset points",
            color=_MUTED, fontsize=9,
        )  # fmt: skip
    _finish((readings, scores, alarm))
    figure.suptitle(f"{manifest.name}: readings, anomaly score and alarm", color=_INK, fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=120)
    write_whole(target, buffer.getvalue())


def _draw_readings(axes: Any, manifest: Manifest, table: Table) -> None:
    for index, channel in enumerate(manifest.channels):
        color = _CHANNELS[index % len(_CHANNELS)]
        axes.plot(table.datetimes, table.values[:, index], color=color, linewidth=0.9, label=channel.name)
    units = {channel.unit for channel in manifest.channels if channel.unit}
    axes.set_ylabel(f"readings ({', '.join(sorted(units))})" if units else "readings")
    if len(manifest.channels) <= 2 * len(_CHANNELS):
        axes.legend(loc="upper left", frameon=False, fontsize=8, ncols=4)


def _draw_scores(axes: Any, verdicts: Verdicts) -> None:
    is_answer = verdicts.status_codes != COLLECTING  # the line breaks where a score is missing, not where none was due
    axes.plot(verdicts.times[is_answer], verdicts.scores[is_answer], color=_INK, linewidth=0.9, label="score")
    axes.plot(verdicts.times, verdicts.thresholds, color=_ALARM, linewidth=1, linestyle="--", label="threshold")
    if (verdicts.scores[verdicts.scored] > 0).all():
        axes.set_yscale("log")
    for status, name, color in _UNSCORED:
        where = verdicts.status_codes == status
        if where.any():
            axes.fill_between(
                verdicts.times, 0, 1, where, step="post", transform=axes.get_xaxis_transform(),
                color=color, alpha=0.25, linewidth=0, label=name,
            )  # fmt: skip
    axes.set_ylabel("score")
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _finish(all_axes: Iterable[Any]) -> None:
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=8)
        axes.grid(axis="x", color=_MUTED, alpha=0.2)
        axes.margins(x=0.01)
