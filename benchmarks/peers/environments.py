"""An environment for each group of peers, made by venv and pip, and taken up again while its requirements stay the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from benchmarks.peers.roster import REQUIREMENTS, Group

ROOT = Path(__file__).resolve().parent.parent.parent
CODE = ("edge_runtime", "training", "export", "pyproject.toml")
PACKED = (*CODE, "README.md", "LICENSE")
"""What the wheel is built from. The README is no reason to build it anew: it holds the table that comes out of here."""
STAMP = "made-from.txt"


class PeerError(Exception):
    """A peer that cannot be installed, made or run; the message is its row in the table."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds what its requirements name, and no pip."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def sizes(self) -> dict[str, int]:
        """Bytes of each file of site-packages, by path."""
        (site,) = self.folder.glob("lib/python*/site-packages")
        return {str(path.relative_to(site)): path.lstat().st_size for path in site.rglob("*") if path.is_file()}

    def versions(self) -> dict[str, str]:
        """Every distribution's version, by name; for PyTorch also what it was built for. Raises `PeerError`."""
        (site,) = self.folder.glob("lib/python*/site-packages")
        found = {each.name: each.version for each in distributions(path=[str(site)])}
        if "torch" in found:
            built_for = self._run("import torch; print(torch.version.cuda)")
            found["torch"] += " (CPU build)" if built_for == "None" else f" (CUDA {built_for} build)"
        return dict(sorted(found.items(), key=lambda item: item[0].lower()))

    def _run(self, code: str) -> str:
        done = subprocess.run([self.python, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerError(f"cannot be imported: {last_line(done.stderr)}")
        return done.stdout.strip()


def set_up(folder: Path, group: Group) -> Environment:
    """The group's environment in `folder`; made anew if what it is made from has changed. Raises `PeerError`."""
    stamp = folder / STAMP
    if stamp.exists() and stamp.read_text() == made_from(group):
        return Environment(folder)
    shutil.rmtree(folder, ignore_errors=True)
    _run("venv", "--without-pip", str(folder))
    requirements = str(REQUIREMENTS / f"{group.requirements}.txt")
    environment = Environment(folder)
    pip = ("pip", "--disable-pip-version-check", "--python", str(environment.python), "install", "--quiet")
    _run(*pip, "--requirement", requirements)
    if group.with_wheel:
        with tempfile.TemporaryDirectory() as place:
            _run(*pip, "--no-deps", str(build_wheel(Path(place))))
    stamp.write_text(made_from(group))
    return environment


def is_set_up(folder: Path, group: Group) -> bool:
    """Whether `set_up` would take what is there."""
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == made_from(group)


def made_from(group: Group) -> str:
    """A digest of what decides what is in the environment."""
    digest = hashlib.sha256(sys.version.encode() + (REQUIREMENTS / f"{group.requirements}.txt").read_bytes())
    if group.with_wheel:
        for name in CODE:
            for path in sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]:
                if path.is_file() and "__pycache__" not in path.parts:
                    digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def build_wheel(folder: Path) -> Path:
    """The wheel of this checkout, from a copy in `folder`: what an earlier build left behind cannot get in."""
    for name in PACKED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / name)
    _run("pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(folder))
    (wheel,) = folder.glob("*.whl")
    return wheel


def bare_environment() -> dict[str, str]:
    """What the processes are started with: this one's variables without Python's own, one thread, and nothing sent anywhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "ORT_DISABLE_TELEMETRY": "1",
    }


def last_line(text: str) -> str:
    """What a row says of a failure."""
    return (text.strip().splitlines() or ["no message"])[-1].strip()[:300]


def _run(module: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PeerError(f"cannot be installed: {last_line(done.stderr or done.stdout)}")
