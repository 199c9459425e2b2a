"""The emulated board that the cost gate counts on: always the same surroundings, whoever runs it and wherever."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

from benchmarks.bare import opening
from benchmarks.cost.cases import BUNDLES, ENGINES
from benchmarks.reference_bundle import reference_bundle
from edge_runtime.bundle import Bundle
from edge_runtime.engines.tflite_file import without_half
from edge_runtime.errors import ExportError
from export.arm import count_marks, find_root, installed

CHECKOUT = Path(__file__).resolve().parents[2]
TRIES = 3


class Root:
    """A userland made by `pi/make-root`, and this checkout's code and bundles in it."""

    def __init__(self, folder: Path | None, cache: Path) -> None:
        """`folder`: None: the one that is found; `cache`: where the bundles are kept. Raises `ExportError`."""
        found = folder.resolve() if folder else find_root()
        if found is None:
            raise ExportError("no ARM userland to count in: `nox -s cost` makes one, pi/README.md says how to make one")
        missing = [engine for engine in ENGINES if engine not in installed(found)]
        if missing:
            raise ExportError(f"{found}: expected the engines {', '.join(ENGINES)}, got none of {', '.join(missing)}")
        self.folder = found
        self._cache = cache.resolve()
        self._one_at_a_time = threading.Lock()

    def bundle(self, name: str) -> Path:
        """One of `BUNDLES`; made in this process, so that TensorFlow starts once, if it is not there."""
        with self._one_at_a_time:
            return reference_bundle(self._cache, BUNDLES[name])

    def floor(self, name: str, variant: str, engine: str) -> tuple[Path, str]:
        """A file beside the bundle, and how to open it."""
        bundle = Bundle.read(self.bundle(name))
        found = bundle.variant(variant)
        data = bundle.members[found.file]
        path = self.bundle(name).with_suffix(f".{found.file}")
        path.write_bytes(without_half(data) if engine == "litert" and not found.half else data)
        return path, opening(engine, data)

    def run(self, board: int, arguments: Sequence[str], marks: int, where: str) -> tuple[int, ...]:
        """The counts at the marks of a run of its Python with this checkout's packages. Raises `ExportError`.

        A run that compiled a module is done again: the compiler is not what is counted.
        """
        environment = {  # nothing of whoever runs this: the environment's size moves the stack
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONSAFEPATH": "1",
            "LC_ALL": "C.UTF-8",
        }
        for _ in range(TRIES):
            with TemporaryFile() as file:
                begin = os.fstat(file.fileno()).st_mtime  # of the clock that stamps files; time.time() is ahead of it
            counted = count_marks(self.folder, arguments, board, where, marks, environment)
            compiled = json.loads(counted.output.splitlines()[-1])["compiled"]
            if all(file.stat().st_mtime < begin for file in map(Path, compiled) if file.exists()):
                return counted.marks
        raise ExportError(
            f"{where}: expected compiled files that stay, got new ones {TRIES} times: is {self.folder} being filled?"
        )

    def versions(self) -> dict[str, str]:
        """Of everything that a count depends on and a change of this repository's code does not explain. Raises `ExportError`."""
        settings = dict(part.split("=") for part in (self.folder / ".settings").read_text().split())
        emulator = subprocess.run([settings["qemu"], "--version"], capture_output=True, text=True, check=False).stdout
        python = subprocess.run(
            [self.folder / "pi-python", "-c", "import sys; print(sys.version.split()[0])"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        found = re.search(r"version (\d+\.\d+)", emulator)
        if python.returncode != 0 or found is None:
            raise ExportError(
                f"{self.folder}: its Python does not run under {settings['qemu']}: {python.stderr.strip()}"
            )
        packages = {}
        for package in ("numpy", "ai_edge_litert", "onnxruntime"):
            (info,) = (self.folder / "opt" / "site").glob(f"{package}-*.dist-info")
            packages[package.replace("_", "-")] = info.stem.split("-")[1]
        architecture, suite = (self.folder / ".made").read_text().split()[:2]
        return {
            "system": f"{suite} {architecture}",
            "emulator": found[1],
            "python": python.stdout.strip(),
            **packages,
            "tensorflow": version("tensorflow"),
        }
