"""What was measured, as lines for people who see it for the first time."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from edge_runtime.bench.board import NOW
from edge_runtime.bench.result import STAGES, Bench, Device, Result, name_of

WIDEST = 118
"""Characters of a line."""
BUSY_LOAD = 0.25
"""More processes than this for each core, before the run, are noted: they took turns with it."""
SLOWED = 0.95
"""A rate in the second half below this share of the first half's is noted."""
AS_FAST = 1.05
"""Times the least median: a variant below this is as good a choice as the fastest."""


def lines(bench: Bench) -> list[str]:
    """The tables, with what a row means, what to look out for and what to do next."""
    results = sorted(bench.results, key=lambda each: each.us_p50)
    return [
        *_context(bench),
        "",
        *_notes(bench),
        *_latency(bench, results),
        "",
        *_stages(results),
        "",
        *_processes(results),
        "",
        *_sizes(bench),
        "",
        *_next(bench, results),
    ]


def _context(bench: Bench) -> list[str]:
    d = bench.device
    clocks = (
        ""
        if d.mhz is None
        else f" at {'-'.join(dict.fromkeys(f'{each:.0f}' for each in (min(d.mhz), max(d.mhz))))} MHz"
    )
    most = "" if d.max_mhz is None else f" of at most {d.max_mhz:.0f}"
    rows = [
        ("bundle", f"{bench.bundle}, {_size(bench.bundle_mb)}, sha256 {bench.digest[:12]}"),
        ("board", d.board),
        ("CPU", f"{d.cores} x {d.cpu} ({d.cpu_kind}){clocks}{most}, governor {d.governor or 'unknown'}"),
        (
            "state",
            f"{_temperature(d)}, load {'unknown' if d.load is None else f'{d.load:.2f}'}, held back: {_throttled(d)}",
        ),
        ("software", f"{d.os}, kernel {d.kernel}, Python {d.python}, numpy {d.numpy}"),
        ("", ", ".join(f"{name} {version}" for name, version in d.packages.items())),
    ]
    return [f"{label:8}  {text}" for label, text in rows if text]


def _notes(bench: Bench) -> list[str]:
    """What makes these figures worse than the board's own, one line each, and an empty one."""
    d = bench.device
    if d.emulated:
        return ["note: an emulator ran this: no time below is the board's, nor which variant is the fastest", ""]
    notes = []
    if d.governor not in (None, "performance"):
        notes.append(
            f"the governor is {d.governor!r}, not 'performance': the clock may be lower than the board's greatest"
        )
    if d.load is not None and d.load > BUSY_LOAD * d.cores:
        notes.append(f"other programs were running (load {d.load:.2f} on {d.cores} cores): stop them and measure again")
    if any(each.endswith(NOW) for each in d.throttled or ()):
        notes.append(f"the board is held back: {_throttled(d)}; look to its power supply and cooling")
    slowed = [each for each in bench.results if each.sustained < SLOWED]
    if slowed:
        worst = min(slowed, key=lambda each: each.sustained)
        notes.append(
            f"it became slower while it was measured (to {worst.sustained:.0%} with {_name(worst)}): heat, or another program"
        )
    return [*(f"note: {each}" for each in notes), ""] if notes else []


def _latency(bench: Bench, results: Sequence[Result]) -> list[str]:
    heads = ("p50", "p90", "p99", "p99.9", "worst", "readings/s", "best batch", "2nd half")
    cells = [
        (
            _us(r.us_p50), _us(r.us_p90), _us(r.us_p99), _us(r.us_p999), _us(r.us_worst), _count(r.readings_per_s),
            f"{_count(r.best_batch_readings_per_s)} of {r.best_batch}", f"{r.sustained:.0%}",
        )
        for r in results
    ]  # fmt: skip
    least, most = min(r.readings for r in results), max(r.readings for r in results)
    left_out = sum(r.not_scored for r in results)
    unscored = f"; {left_out} that were not scored are left out" if left_out else ""
    return [
        "Time a reading, microseconds: a reading handed over, its verdict back, the window full. The fastest first.",
        f"A row is {_range(least, most)} readings in {bench.seconds:g} s, each timed, none removed{unscored}.",
        f"{results[0].warm_up} before them warmed up, untimed. The rows took turns: what slows the board down for a while meets all of them alike.",
        "p50: half take less; p99: 1 in 100 takes more. readings/s: one by one, and windows at once, of so many in a call.",
        "2nd half: the rate of the second half of the time against the first; far below 100% the board became hot.",
        "",
        *_table(results, heads, cells),
    ]


def _stages(results: Sequence[Result]) -> list[str]:
    heads = (*STAGES, "sum", "p50")
    cells = []
    for r in results:
        middle = [r.stages[stage].us_p50 if stage in r.stages else None for stage in STAGES]
        whole = sum(each for each in middle if each is not None)
        cells.append((*("-" if each is None else _us(each) for each in middle), _us(whole), _us(r.us_p50)))
    shared = sorted({stage for r in results for stage in r.shared_out}, key=STAGES.index)
    return [
        "Where it goes, microseconds (p50, in a pass of its own with timers, whose own time is subtracted).",
        "engine: the model itself; the rest is what this package adds. other: checks, making the verdict, what is left.",
        *(
            [f"{', '.join(shared)}: one function does them; its time is shared out as they take it one by one."]
            if shared
            else []
        ),
        "",
        *_table(results, heads, cells),
    ]


def _processes(results: Sequence[Result]) -> list[str]:
    heads = ("p50", "worst", "python", "imports", "load", "verdict", "peak MB")
    cells = [
        (
            *(f"{each:.0f}" for each in (c.p50, c.worst, c.python, c.imports, c.load)),
            f"{c.first_verdict:.1f}",
            f"{r.peak_mb:.1f}",
        )
        for r in results
        for c in (r.cold_start_ms,)
    ]
    return [
        "Start of a fresh process until its first verdict, milliseconds (files were read before), and the most memory it took,",
        f"above the {results[0].python_mb:.1f} MB of Python alone. load: bundle checked, engine imported, model opened.",
        "",
        *_table(results, heads, cells),
    ]


def _sizes(bench: Bench) -> list[str]:
    sizes = {name: mb for each in bench.results for name, mb in each.installed_mb.items()}
    return [f"Installed: {', '.join(f'{name} {_size(mb)}' for name, mb in sizes.items())}."]


def _next(bench: Bench, results: Sequence[Result]) -> list[str]:
    proven = [each for each in results if each.passed_parity]
    unproven = [_name(each) for each in results if not each.passed_parity]
    said = [f"not measured: {each}" for each in bench.not_measured]
    if unproven:
        said.append(f"not proven to answer as the trained model does, do not use: {', '.join(unproven)}")
    if proven and not bench.device.emulated:
        fast = [_name(each) for each in proven if each.us_p50 <= AS_FAST * proven[0].us_p50]
        said.append(f"The fastest to use here: {', '.join(fast)}{' (within 5 % of each other)' if fast[1:] else ''}.")
    said.append("The last line holds all of it for programs; keep it to compare with a later run.")
    return [line for each in said for line in wrap(each, WIDEST, subsequent_indent="  ")]


def _table(results: Sequence[Result], heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """A row a result: its variant and engine, then numbers to the right."""
    rows = [
        ("variant", "engine", *heads),
        *((r.variant, r.engine, *row) for r, row in zip(results, cells, strict=True)),
    ]
    widths = [max(len(each) for each in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _name(result: Result) -> str:
    return name_of(result.engine, result.variant)


def _us(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _count(value: float) -> str:
    return f"{value:.0f}" if value < 10_000 else f"{value / 1000:.0f}k"


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _size(mb: float) -> str:
    return f"{mb:.1f} MB" if mb >= 1 else f"{mb * 1000:.0f} kB"


def _temperature(d: Device) -> str:
    begin, end = ("unknown" if each is None else f"{each:.0f} °C" for each in (d.temperature_c, d.temperature_c_end))
    return f"temperature {begin}" if begin == end else f"temperature {begin}, {end} at the end"


def _throttled(d: Device) -> str:
    return "unknown" if d.throttled is None else ", ".join(d.throttled) or "no"
