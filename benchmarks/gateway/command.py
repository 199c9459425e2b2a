"""`python -m benchmarks gateway PROOF`: what the gateway promises, proven on a real broker and a real process."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import markdown
from benchmarks.context import commit, machine

PROOFS = {
    "kill": ("kill", "kill -9 at random moments, against an independent ledger"),
    "power_cut": ("kill", "the same, and what is kept in memory is gone"),
    "load": ("load", "processor time and time to the alert, under a steady load"),
    "memory": ("memory", "memory above the engine's floor, by the number of machines"),
    "soak": ("soak", "simulated weeks: memory and files must not grow"),
    "sd_writes": ("sd_writes", "bytes written to the card in a day"),
}
"""Each proof's module and what it is."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns the exit status: 1 where a promise is not kept."""
    options = _parser().parse_args(arguments)
    options.power_cut = options.proof == "power_cut"
    module = import_module(f"benchmarks.gateway.{PROOFS[options.proof][0]}")
    result, violations = module.run(options)
    rows = module.rows(result)
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}}  {value}" for name, value in rows))
    for violation in violations[:20]:
        print(f"VIOLATION {violation}")
    if options.markdown:
        table = markdown.table((options.proof.replace("_", " "), ""), rows)
        markdown.insert(options.markdown, f"gateway_{options.proof}", table)
    print(json.dumps({"benchmark": "gateway", "machine": machine(), "commit": commit(), "results": [result]}))
    return 1 if violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gateway", description=__doc__)
    proofs = parser.add_subparsers(dest="proof", required=True, metavar="PROOF")
    for name, (module, summary) in PROOFS.items():
        proof = proofs.add_parser(name, help=summary, description=summary)
        proof.add_argument(
            "--cache", metavar="DIR", default="runs/benchmarks", help="where the bundles measured are kept"
        )
        proof.add_argument(
            "--folder", metavar="DIR", type=Path, help="where the gateway's files are, kept after a failure"
        )
        proof.add_argument("--progress", action="store_true", help="say on standard error how far it is")
        markdown.add_option(proof, f"gateway_{name}")
        import_module(f"benchmarks.gateway.{module}").add_options(proof)
    return parser
