"""`anomalite inspect`: what a bundle holds and where it comes from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from edge_runtime.bundle import Bundle
from edge_runtime.choice import choice_text
from edge_runtime.cli import EXIT_DONE, write
from edge_runtime.cpu import KINDS
from edge_runtime.manifest import Channel, Cleaning, Grid, Manifest, Operating, Variant, Waveform
from edge_runtime.schema import encode
from edge_runtime.threshold_text import false_alarms_text, threshold_text


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="anomalite inspect",
        description="Say what a bundle holds: channels, preparation, model variants with their parity, and provenance.",
        epilog="example: anomalite inspect pump.anomalite",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="a file NAME.anomalite")
    parser.add_argument("--json", action="store_true", help="the manifest as one JSON object")
    options = parser.parse_args(arguments)
    bundle = Bundle.read(options.bundle)
    manifest = bundle.manifest
    if options.json:
        write(json.dumps(encode(manifest)))
        return EXIT_DONE
    for line in describe(manifest):
        write(line)
    write(f"\nmeasured choice  {choice_text(options.bundle, bundle)}")
    return EXIT_DONE


def describe(m: Manifest) -> list[str]:
    """The manifest in lines for people."""
    last = f"last {m.score.last} of {m.window.length}" if m.score.last else f"all {m.window.length}"
    rows = [
        ("name", m.name),
        ("family", f"{m.family}, {m.parameters} parameters"),
        ("time column", m.time_column),
        ("sampling", f"every {m.sampling.period_s:g} s; after {m.sampling.longest_gap_s:g} s the window starts again"),
        ("grid", _grid(m.sampling.grid)),
        ("missing values", f"{_filled(m.cleaning)} for {m.cleaning.hold_limit} readings"),
        ("silent sensors", "a gap" if m.sensors is None or not m.sensors.silent else "a fault"),
        ("operating state", _operating(m.operating)),
        *([("waveform", _waveform(m.waveform))] if m.waveform else []),
        ("scaling", m.scaling.kind + (f", clipped at {m.scaling.clip:g}" if m.scaling.clip else "")),
        ("window", f"{m.window.length} readings"),
        ("score", f"{m.score.kind} over {last} steps"),
        ("threshold", threshold_text(m.threshold)),
        ("false alarms", false_alarms_text(m.threshold)),
        ("alarm", f"{m.alarm.k} of {m.alarm.n} above {m.alarm.enter:g} x threshold raise it, "
                  f"{m.alarm.n} in a row below {m.alarm.exit:g} x clear it, then {m.alarm.cooldown_s:g} s quiet"),
        ("trained", f"{m.provenance.trained_at} on {m.provenance.trained_from} to {m.provenance.trained_to}, "
                    f"seed {m.provenance.seed}"),
        ("data", ", ".join(f"{name} sha256 {digest[:12]}" for name, digest in m.provenance.data_sha256.items())),
        ("versions", ", ".join(f"{name} {version}" for name, version in m.provenance.versions.items())),
    ]  # fmt: skip
    width = max(len(label) for label, _ in rows)
    lines = [f"{label:{width}}  {text}" for label, text in rows]
    lines += ["", "channels", *(f"  {_channel(channel)}" for channel in m.channels)]
    if m.derived:
        lines += ["", "derived", *(f"  {name}" for each in m.derived for name in each.names)]
    lines += ["", "variants", *(line for variant in m.variants for line in _variant(variant))]
    return lines


def _grid(grid: Grid | None) -> str:
    if grid is None:
        return "none: readings as they come, late ones left out"
    return (
        f"{grid.value} value of each period, late ones for {grid.max_delay_s:g} s, of duplicates the {grid.duplicate}"
    )


def _filled(cleaning: Cleaning) -> str:
    return "hold the last value" if cleaning.missing == "hold" else "the median in training"


def _operating(operating: Operating | None) -> str:
    if operating is None:
        return "always the known one"
    until = "" if operating.until is None else f" until {operating.until}"
    settle = f", {operating.settle_s:g} s after switching on" if operating.settle_s else ""
    return f"when {operating.when}{until}{settle}; else readings are off"


def _channel(channel: Channel) -> str:
    limits = [f"{word} {limit:g}" for word, limit in (("from", channel.low), ("to", channel.high)) if limit is not None]
    rails = " or ".join(f"{rail:g}" for rail in (channel.rail_low, channel.rail_high) if rail is not None)
    parts = [
        f"{channel.name}{f' ({channel.unit})' if channel.unit else ''}",
        f"valid {' '.join(limits)}" if limits else "",
        "" if channel.max_rate is None else f"at most {channel.max_rate:g} a second",
        "" if channel.stuck_after is None else f"stuck after {channel.stuck_after} readings",
        f"saturated after {channel.saturated_after} readings at {rails}" if rails else "",
        "" if channel.resolution is None else f"resolution {channel.resolution:g}",
        "" if channel.is_input else "not given to the model",
    ]
    return ", ".join(part for part in parts if part)


def _waveform(waveform: Waveform) -> str:
    return (
        f"snapshots of {waveform.length} samples at {waveform.sample_rate_hz:g} Hz of {', '.join(waveform.channels)}, "
        f"{waveform.window} window"
    )


def _variant(variant: Variant) -> list[str]:
    lines = [f"  {variant.name}: {variant.size / 1000:.1f} kB ({variant.file}), runs on {' or '.join(variant.engines)}"]
    if variant.boards:
        lines.append(f"    made for {', '.join(KINDS.get(board, board) for board in variant.boards)}")
    if variant.requires.cpus:
        lines.append(f"    requires {' or '.join(KINDS.get(cpu, cpu) for cpu in variant.requires.cpus)}")
    if variant.threshold is not None:
        lines.append(f"    its own threshold: {variant.threshold:.4g}")
    for windows, check in variant.parity.items():
        lines.append(
            f"    {windows.replace('_', ' ')}: {check.windows} windows, reconstruction within {check.reconstruction:.2g}, "
            f"score within {100 * check.score:.2g} %, {check.flipped} decisions flipped"
            + ("" if check.average_precision is None else f", average precision within {check.average_precision:.2g}")
        )
    return lines
