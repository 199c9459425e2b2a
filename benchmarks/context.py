"""Where and from what a figure comes: every benchmark's line says so."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
"""Variables that keep numpy and the engines to one thread."""


def machine() -> str:
    """The processor, the system, Python and the packages that do the work."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    packages = []
    for package in ("numpy", "onnxruntime", "ai-edge-litert", "tflite-runtime"):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return (
        f"{model}, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {', '.join(packages)}"
    )


def commit() -> str:
    """The checkout's commit, with a mark if files were changed since."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip()
