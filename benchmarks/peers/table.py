"""The table for people, in a terminal and in a Markdown file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks import markdown
from benchmarks.peers.roster import OURS, PEERS

TARGETS = {"keras predict": 500, "tflite, unfused": 3, "pytorch eager": 3}
"""How many times faster than these the fastest of ours has to be."""
HEADS = ("", "µs, median", "µs, p99", "× ours", "start, ms", "peak, MB", "installed, MB", "lines", "what a call does")
NAMED = ("tensorflow", "keras", "torch", "ai-edge-litert", "onnxruntime", "pyod", "scikit-learn", "river", "numpy")
"""The packages whose versions the text names."""

Results = Sequence[dict[str, Any]]


def fastest(results: Results) -> dict[str, Any] | None:
    """Ours with the shortest median; None if none of ours ran."""
    ours = [each for each in results if each["name"].startswith(OURS) and each["status"] == "ok"]
    return min(ours, key=lambda each: float(each["us_p50"]), default=None)


def ratios(results: Results) -> dict[str, float]:
    """Every peer's median over the fastest of ours, and each of ours over its bare engine."""
    best = fastest(results)
    times = {each["name"]: each["us_p50"] for each in results if each.get("us_p50") is not None}
    found = {} if best is None else {name: us / best["us_p50"] for name, us in times.items()}
    for name in times:
        bare = f"bare {name.removeprefix(OURS)}"
        if name.startswith(OURS) and bare in times:
            found[f"{name} / {bare}"] = times[name] / times[bare]
    return found


def rows(results: Results) -> list[list[str]]:
    """A row a peer, as `HEADS` says; what a failing one did not get to is a dash, and its last cell says why."""
    over = ratios(results)
    does = {peer.name: peer.does for peer in PEERS}
    table = []
    for each in results:
        last = [] if each["status"] == "ok" else [f"**{each['status']}**"]
        if each.get("us_p50") is not None or not last:
            last.insert(0, does[each["name"]])
        table.append(
            [
                each["name"],
                _number(each.get("us_p50")),
                _number(each.get("us_p99")),
                _number(over.get(each["name"]), least=2),
                _number(each.get("start_ms")),
                _number(each.get("peak_mb")),
                _number(each.get("installed_mb")),
                str(each["lines"]),
                "; ".join(last),
            ]
        )
    return table


def _number(value: float | None, least: int = 1) -> str:
    """Three digits or more, and never more than `least` behind the point."""
    if value is None:
        return "-"
    places = 0 if value >= 100 else min(least, 1) if value >= 10 else least
    return f"{value:,.{places}f}"


def text(results: Results) -> str:
    """The table for a terminal."""
    table = [list(HEADS), *rows(results)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS) - 1)]
    return "\n".join(
        "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:-1], widths[1:], strict=True)),
                row[-1].replace("**", ""),
            ]
        )
        for row in table
    )


def conclusions(results: Results) -> list[str]:
    """Each target and whether it is met, ours over the bare engines, and what failed on the way to a file that runs."""
    over, best = ratios(results), fastest(results)
    lines = []
    ran = {each["name"] for each in results if each["status"] == "ok"}
    for name, target in TARGETS.items():
        if best is not None and name in over and name in ran:
            verdict = "met" if over[name] >= target else "MISSED"
            lines.append(
                f"{best['name']} is {_number(over[name])} times as fast as {name} (target {target} times: {verdict})"
            )
    times = {each["name"]: each.get("us_p50") for each in results}
    for pair, ratio in over.items():
        if " / " in pair:
            name, bare = pair.split(" / ")
            lines.append(f"{name} takes {ratio:.2f} times {bare}, {times[name] - times[bare]:.1f} µs more")
    lines += [f"{each['name']}: {each['note']}" for each in results if each.get("note")]
    off = [f"{each['name']} {each['off_by']:.0e}" for each in results if each.get("off_by") is not None]
    if off:
        lines.append(f"largest difference of a reconstruction from Keras's: {', '.join(off)}")
    sizes = {f"{each['ours_mb']:.2f} MB is ours, {each['runtime_mb']:.2f}" for each in results if each.get("ours_mb")}
    lines += [f"of what is installed with anomalite, {size} MB of it the runtime" for size in sorted(sizes)]
    return lines


def document(results: Results, machine: str, commit: str, rounds: int) -> str:
    """The table and what one has to know to read it, for a Markdown file."""
    best = fastest(results)
    ours = "" if best is None else f" × ours: the time over that of {best['name']}."
    notes = "".join(f" {each['name']}: {each['note']}." for each in results if each.get("note"))
    return "\n".join(
        [
            markdown.table(HEADS, rows(results)),
            "",
            f"`python -m benchmarks peers` at commit {commit}, {machine}. A window of 32 readings of 4 channels, an LSTM(32) autoencoder with the "
            f"same weights in all but the last three rows, batch 1, one thread; medians over {rounds} fresh processes each, in rotation. Start: from "
            "an empty process to the first score. Peak: of the whole process. Installed: all of site-packages. Lines: from the first import to a score, "
            f"on the device.{ours}{notes} {_versions(results)}",
        ]
    )


def _versions(results: Results) -> str:
    found: dict[str, str] = {}
    for each in results:
        found |= each.get("versions", {})
    return f"Versions: {', '.join(f'{name} {found[name]}' for name in NAMED if name in found)}."
