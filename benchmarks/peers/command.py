"""`python -m benchmarks peers`: what one would use instead, and ours, side by side in one run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import markdown
from benchmarks.arguments import at_least_one
from benchmarks.context import commit, machine
from benchmarks.peers import table
from benchmarks.peers.environments import Environment, PeerError, is_set_up, set_up
from benchmarks.peers.files import hand_over, make
from benchmarks.peers.roster import GROUPS, PEERS, Peer, lines_a_user_writes
from benchmarks.peers.rounds import measure
from benchmarks.reference_bundle import reference_bundle

ROUNDS = 5
OURS = ("edge_runtime/", "training/", "export/", "anomalite-")
RUNTIME = "edge_runtime/"
"""Of `OURS`: what a device imports."""


def main(arguments: Sequence[str]) -> int:
    """Set up what is missing, measure, print the table and the line of JSON; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks peers", description=__doc__)
    names = [peer.name for peer in PEERS]
    parser.add_argument("--only", metavar="NAME", action="append", choices=names, help=f"default: {', '.join(names)}")
    parser.add_argument(
        "--rounds", metavar="N", type=at_least_one, default=ROUNDS, help=f"processes a peer; default {ROUNDS}"
    )
    parser.add_argument(
        "--cache", metavar="DIR", default="runs/benchmarks", help="where the environments and the models are kept"
    )
    markdown.add_option(parser, "peers")
    options = parser.parse_args(arguments)
    chosen = [peer for peer in PEERS if peer.name in (options.only or names)]
    folder = Path(options.cache).resolve() / "peers"

    environments, failed = _environments(folder, chosen)
    files = folder / "files"
    hand_over(files, reference_bundle(folder.parent))
    results, ready = _prepare(chosen, environments, failed, files)
    print("one thread, batch 1, fresh processes in rotation; ours also cleans, scales, keeps the window and decides")
    measured = measure({peer: environments[peer.group] for peer in ready}, files, options.rounds, _tell)
    for result in results:
        result |= measured.get(result["name"], {})

    print(table.text(results))
    for line in table.conclusions(results):
        print(line)
    context = {"machine": machine(), "commit": commit()}
    if options.markdown is not None:
        markdown.insert(options.markdown, "peers", table.document(results, **context, rounds=options.rounds))
    print(json.dumps({"benchmark": "peers", **context, "results": results, "ratios": table.ratios(results)}))
    return 0


def _environments(folder: Path, chosen: Sequence[Peer]) -> tuple[dict[str, Environment], dict[str, str]]:
    """The environments by group, and the groups for which there is none with the reason."""
    needed = list(dict.fromkeys(group for peer in chosen for group in (peer.group, *(s.group for s in peer.steps))))
    missing = [name for name in needed if not is_set_up(folder / name, GROUPS[name])]
    if missing:
        print(f"setting up {len(missing)} environments in {folder}; pip fetches what it does not have:")
        for name in missing:
            print(f"  {name:17} at most {GROUPS[name].download_mb} MB")
        print(
            f"  together at most {sum(GROUPS[name].download_mb for name in missing)} MB, and less: they share packages"
        )
        print("On disk they take three to five times that. Where pip finds no CPU build of PyTorch, gigabytes more.")
    environments, failed = {}, {}
    for name in needed:
        try:
            environments[name] = set_up(folder / name, GROUPS[name])
        except PeerError as fault:
            failed[name] = str(fault)
        if name in missing:
            _tell(f"{name}: {failed.get(name, 'set up')}")
    return environments, failed


def _prepare(
    chosen: Sequence[Peer], environments: dict[str, Environment], failed: dict[str, str], files: Path
) -> tuple[list[dict[str, Any]], list[Peer]]:
    """What is known of each peer before it runs, and those that can."""
    results, ready = [], []
    for peer in chosen:
        result: dict[str, Any] = {"name": peer.name, "status": "ok", "lines": lines_a_user_writes(peer.sources())}
        groups = (peer.group, *(step.group for step in peer.steps))
        try:
            if peer.group in environments:
                result |= _installed(environments[peer.group])
            for group in groups:
                if group in failed:
                    raise PeerError(failed[group])
            note = make(peer, files, environments)
            ready.append(peer)
        except PeerError as fault:
            result["status"] = note = str(fault)
        if note and note != result["status"]:
            result["note"] = note
        results.append(result)
    return results, ready


def _installed(environment: Environment) -> dict[str, Any]:
    """Versions and megabytes, ours apart from the rest."""
    sizes = environment.sizes()
    found: dict[str, Any] = {"versions": environment.versions(), "installed_mb": sum(sizes.values()) / 1e6}
    if any(path.startswith(OURS) for path in sizes):
        found["ours_mb"] = sum(size for path, size in sizes.items() if path.startswith(OURS)) / 1e6
        found["runtime_mb"] = sum(size for path, size in sizes.items() if path.startswith(RUNTIME)) / 1e6
    return found


def _tell(line: str) -> None:
    print(line, flush=True)
