"""The files that the peers open: the reference's, and what each peer's own tools make of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.environments import ROOT, STAMP, Environment, PeerError, bare_environment, last_line, made_from
from benchmarks.peers.roster import GROUPS, MAKING, SCRIPTS, Peer, Step

LONGEST_S = 900
"""A step that takes longer is ended."""


def hand_over(folder: Path, bundle: Path) -> None:
    """The reference's files in `folder`; made anew, and with them all that is made of them, when the bundle is another one."""
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() == _given(bundle):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.peers.reference", str(folder), str(bundle)]
    # Python finds this checkout wherever it is started from.
    variables = bare_environment() | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    stamp.write_text(_given(bundle))


def _given(bundle: Path) -> str:
    digest = hashlib.sha256(bundle.name.encode())
    for source in (Path(__file__).parent / "reference.py", SCRIPTS / "measured.py"):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def make(peer: Peer, folder: Path, environments: dict[str, Environment]) -> str:
    """Run the peer's steps that are not done yet; what the last one has to say, perhaps nothing. Raises `PeerError`."""
    said = ""
    for step in peer.steps:
        said = _once(step, folder, environments[step.group])
    return said


def _once(step: Step, folder: Path, environment: Environment) -> str:
    """A step leaves its last line in a file; one that failed is tried again next time."""
    kept = folder / f"{step.script}.said-{_made_by(step)[:8]}.txt"
    if kept.exists():
        return kept.read_text()
    try:
        done = subprocess.run(
            [environment.python, str(MAKING / f"{step.script}.py")],
            cwd=folder,
            env=bare_environment() | {"PYTHONPATH": str(SCRIPTS)},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"cannot be made: not done after {LONGEST_S} s") from None
    if done.returncode != 0:
        raise PeerError(f"cannot be made: {last_line(done.stderr)}")
    said = last_line(done.stdout) if done.stdout.strip() else ""
    kept.write_text(said)
    return said


def _made_by(step: Step) -> str:
    digest = hashlib.sha256(made_from(GROUPS[step.group]).encode())
    for source in sorted(MAKING.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
