"""Fresh processes in rotation, so that a drift of the machine's speed meets every peer alike, and the medians of what they say."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.environments import Environment, PeerError, bare_environment, last_line
from benchmarks.peers.roster import SCRIPTS, Peer

FIGURES = ("us_p50", "us_p99", "start_ms", "peak_mb")
LONGEST_S = 300
"""A process that takes longer is ended."""
AGREE = 1e-4
"""The most that a reconstruction may differ from Keras's, in scaled units."""


def measure(
    peers: dict[Peer, Environment], files: Path, rounds: int, tell: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Each peer's figures by its name, or its `status` if it fails. One more round comes first and does not count: it fills the caches."""
    found: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in peers}
    failed: dict[str, str] = {}
    for count in range(rounds + 1):
        for peer, environment in peers.items():
            if peer.name in failed:
                continue
            try:
                result = run_once(environment.python, SCRIPTS / f"{peer.script}.py", files)
            except PeerError as fault:
                failed[peer.name] = str(fault)
                tell(f"{peer.name}: {fault}")
                continue
            if count:
                found[peer.name].append(result)
        tell(f"round {count} of {rounds}" if count else "the round that does not count is done")
    return {name: {"status": failed[name]} if name in failed else summary(each) for name, each in found.items()}


def run_once(python: Path, script: Path, files: Path) -> dict[str, Any]:
    """What one process of a peer says, with `start_ms`: from its start to its first score. Raises `PeerError`."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        with subprocess.Popen(
            [python, script], cwd=files, env=bare_environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            ender = threading.Timer(LONGEST_S, process.kill)
            ender.daemon = True
            ender.start()
            first = process.stdout.readline() if process.stdout else ""
            taken = time.perf_counter() - start
            rest = process.stdout.read() if process.stdout else ""
            status = process.wait()
            ender.cancel()
        errors.seek(0)
        if status != 0:
            reason = last_line(errors.read()) if status > 0 else f"ended by signal {-status}"
            raise PeerError(f"fails: {reason}")
    try:
        said: dict[str, Any] = json.loads(rest.strip().splitlines()[-1])
        return {"score": float(first), "start_ms": taken * 1e3, **said}
    except (IndexError, ValueError):
        raise PeerError(f"fails: expected a score, then JSON, got {first.strip()[:80]!r}") from None


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of several processes' figures; `status` says if what they calculate is not what was asked for."""
    figures: dict[str, Any] = {name: median(each[name] for each in results) for name in FIGURES}
    figures["us_p50_of_each"] = [round(each["us_p50"], 2) for each in results]
    figures["first_score"] = results[0]["score"]
    figures["calls"] = sum(each["calls"] for each in results)
    figures["status"] = "ok"
    if "off_by" in results[0]:
        figures["off_by"] = max(each["off_by"] for each in results)
        if not figures["off_by"] <= AGREE:
            figures["status"] = f"calculates something else: off by {figures['off_by']:.1e}"
    return figures
