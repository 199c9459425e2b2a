"""`python -m benchmarks NAME ...`: what the runtime costs, what the detectors are worth, and what the others cost.

Each prints a table for people and, last, one line of JSON; `python -m benchmarks NAME --help` says what it takes.
"""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "targets": ("benchmarks.targets", "the targets, measured in one run: met, or missed by how much"),
    "runtime": ("benchmarks.runtime", "time, start and memory above the bare engine, on this machine"),
    "peers": ("benchmarks.peers.command", "side by side with what one would use instead, each in its own environment"),
    "cost": ("benchmarks.cost.command", "ARM instructions under emulation, held to benchmarks/baseline.json"),
    "instructions": ("benchmarks.instructions", "ARM instructions of one window of a bundle, by variant and board"),
    "scaling": (
        "benchmarks.scaling.command",
        "how time and memory grow with window, channels, machines, readings, ...",
    ),
    "history": ("benchmarks.history_command", "times and memory by asv, against the last recorded run (`make bench`)"),
    "imports": ("benchmarks.imports", "what the modules that a device imports at start cost"),
    "window_length": ("benchmarks.window_length", "the fused LSTM kernel against the unrolled graph, by window length"),
    "batch_signature": ("benchmarks.batch_signature", "what a TFLite file with a second, batched signature costs"),
    "write_ahead": ("benchmarks.write_ahead", "what a database of every reading would write to a card a day"),
    "same_bits": ("benchmarks.same_bits", "whether an engine's answer to a window depends on the others in its call"),
    "gateway": ("benchmarks.gateway.command", "the gateway's promises: killed, loaded, weighed, watched for weeks"),
    "detection": ("benchmarks.detection.command", "how well each family detects, on public data (`make detection`)"),
}
"""Each benchmark's module, whose `main(arguments) -> exit status` runs it, and what it measures."""


def main() -> int:
    """Run the benchmark that the first argument names; returns the exit status."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print("usage: python -m benchmarks NAME ...\n")
        print("\n".join(f"  {each:16} {summary}" for each, (_, summary) in COMMANDS.items()))
        return 0
    if name not in COMMANDS:
        print(f"benchmarks: unknown benchmark {name!r}, known: {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    status: int = import_module(COMMANDS[name][0]).main(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
