"""`python -m benchmarks imports`: what an import, or the definition of a class, costs a start: decisions 5 and 14.

Each in fresh processes that have numpy loaded: milliseconds of processor time and resident memory, medians.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.arguments import at_least_one
from benchmarks.context import commit, machine

ROOT = Path(__file__).resolve().parent.parent
_FIELDS = "\n".join(f"    f{i}: float = 0.0" for i in range(5))
CASES = {
    "hashlib": "import hashlib",
    "digest": "from edge_runtime import digest",
    "zipfile": "import zipfile",
    "archive": "from edge_runtime import archive",
    "pathlib": "import pathlib",
    "argparse": "import argparse",
    "json": "import json",
    "csv": "import csv",
    "dataclasses": "import dataclasses",
    "threading": "import threading",
    "numpy.typing": "import numpy.typing",
    "manifest": "from edge_runtime import manifest",
    "frozen dataclass of five fields, slots": f"@dataclass(frozen=True, slots=True)\nclass Five:\n{_FIELDS}",
    "frozen dataclass of five fields": f"@dataclass(frozen=True)\nclass Five:\n{_FIELDS}",
    "NamedTuple of five fields": f"class Five(NamedTuple):\n{_FIELDS}",
    "Record of five fields": f"class Five(Record):\n{_FIELDS}",
}
"""What is timed, by what it is called."""
# The package is there without what its `__init__` imports, so that each module of ours is measured by itself.
_BEFORE = """
import os, sys, time, types, numpy
package = types.ModuleType("edge_runtime")
package.__path__ = [sys.argv[1] + "/edge_runtime"]
sys.modules["edge_runtime"] = package
"""
_FOR_A_CLASS = (
    "from dataclasses import dataclass\nfrom typing import NamedTuple\nfrom edge_runtime.record import Record\n"
)
_RUN = """
def resident():
    return int(open("/proc/self/statm").read().split()[1])
before, start = resident(), time.process_time()
exec(code)
ms, mb = (time.process_time() - start) * 1e3, (resident() - before) * os.sysconf("SC_PAGE_SIZE") / 2**20
print(f"[{ms}, {mb}]")
"""


def main(arguments: Sequence[str]) -> int:
    """Measure each case in fresh processes; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks imports", description=__doc__)
    parser.add_argument("--rounds", type=at_least_one, default=11, help="fresh processes of each (default: 11)")
    options = parser.parse_args(arguments)
    results = []
    print(f"{'':42} {'ms':>6} {'MB':>6}")
    for name, code in CASES.items():
        samples = [_sample(code) for _ in range(options.rounds + 1)][1:]  # the first one writes the .pyc files
        ms, mb = (median(each) for each in zip(*samples, strict=True))
        print(f"{name:42} {ms:6.2f} {mb:6.2f}", flush=True)
        results.append({"name": name, "ms": ms, "mb": mb})
    print(json.dumps({"benchmark": "imports", "machine": machine(), "commit": commit(), "results": results}))
    return 0


def _sample(code: str) -> tuple[float, float]:
    """Milliseconds and MB in one fresh process."""
    first = _FOR_A_CLASS if "class " in code else ""
    program = f"{_BEFORE}{first}code = compile({code!r}, 'case', 'exec', dont_inherit=True)\n{_RUN}"
    done = subprocess.run([sys.executable, "-c", program, str(ROOT)], capture_output=True, text=True, check=True)
    ms, mb = json.loads(done.stdout)
    return ms, mb
