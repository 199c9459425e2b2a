"""What `pip install anomalite` puts on a disk beside numpy and the engine, without and with the .pyc files that pip adds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("edge_runtime", "training", "export")
_LEFT_OUT = shutil.ignore_patterns("__pycache__")


def installed_size() -> dict[str, Any]:
    """MB (2^20 bytes) of the files of a fresh installation: `files` without, `with_pyc` with .pyc files; the device's package of it.

    Raises `RuntimeError` where pip and setuptools cannot build it.
    """
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "source", Path(folder) / "installed"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, source / package, ignore=_LEFT_OUT)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source / name)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--compile"]
        done = subprocess.run(
            [*command, "--target", str(target), str(source)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise RuntimeError((done.stderr.strip().splitlines() or ["pip failed without a word"])[-1])
        files = [file for file in target.rglob("*") if file.is_file()]
        device = [file for file in files if file.is_relative_to(target / PACKAGES[0])]
        return {
            "files_mb": _mb(file for file in files if file.suffix != ".pyc"),
            "with_pyc_mb": _mb(files),
            "device_files_mb": _mb(file for file in device if file.suffix != ".pyc"),
            "device_with_pyc_mb": _mb(device),
        }


def _mb(files: Any) -> float:
    return sum(file.stat().st_size for file in files) / 2**20
