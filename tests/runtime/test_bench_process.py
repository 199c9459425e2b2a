"""Fresh processes and sizes: each is a process of its own, whose memory is its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bench import memory
from edge_runtime.bench.process import AFTERWARDS, Case, _run, measure_fresh
from edge_runtime.bench.sizes import installed_mb, versions
from edge_runtime.bench.usual import usual_values
from edge_runtime.bundle import Bundle
from edge_runtime.errors import EngineError

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@pytest.mark.heavy
def test_start_and_memory_of_fresh_processes(small: Path) -> None:
    """The parts are those of the whole, and numpy's memory is above bare Python's, however large this process is."""
    ballast = np.ones(40_000_000)  # 320 MB, which Linux would count as a child's
    python, (fresh,) = measure_fresh(
        str(small), [Case("numpy", "numpy-float32", 3)], usual_values(Bundle.read(small)), 1.0, processes=3
    )
    cold = fresh.cold_start
    parts = (cold.python, cold.imports, cold.load, cold.first_verdict)
    assert min(parts) > 0
    assert cold.p50 <= cold.worst
    assert max(parts) < cold.worst
    assert cold.imports > cold.first_verdict
    assert 2e6 < python < fresh.peak_bytes < 200e6 < ballast.nbytes


def test_a_process_that_fails_is_an_error(small: Path) -> None:
    """With its last line."""
    with pytest.raises(EngineError, match=r"a fresh process ended with status 1: .*EngineError: unknown engine 'none'"):
        measure_fresh(str(small), [Case("none", "numpy-float32", 3)], [(0.0, 1.0)] * 2, 1.0, processes=1)


def test_files_of_the_folder_it_is_run_in_are_not_imported(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's json.py is none of its business, and another numpy or edge_runtime there is not what was asked about."""
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    values = usual_values(Bundle.read(small))
    assert measure_fresh(str(small.absolute()), [Case("numpy", "numpy-float32", 3)], values, 1.0, processes=1)


def test_readings_reach_the_process() -> None:
    """Its answer is what it printed last, and comes with the time at which it was started."""
    started, words = _run("import sys\nprint(len(sys.stdin.read()), sys.argv[2:])", ["a"], "12345")
    assert started > 0
    assert words == ["5", "['a']"]
    assert AFTERWARDS > 0


@needs_proc
def test_peak_memory_is_the_process_s_own() -> None:
    """As the system has it; what was given back counts."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(memory.__file__).parent)!r})\nimport memory\n"
        "before = memory.peak_bytes()\nx = bytearray(64_000_000)\ndel x\nprint(memory.peak_bytes() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 50e6 < int(done.stdout) < 80e6


def test_peak_memory_without_proc(tmp_path: Path) -> None:
    """From the system's own account, in bytes on every system."""
    assert 5e6 < memory.peak_bytes(str(tmp_path / "status")) < 50e9


MAPS = """\
00400000-00500000 r-xp 00000000 fe:00 11 /usr/bin/python3
00500000-00580000 rw-p 00000000 00:00 0
7f000000-7f100000 rw-p 00000000 00:00 0    [stack]
"""
SMAPS = """\
{0:08x}-{1:08x} r--p 00000000 fe:00 11 /usr/bin/python3
Size:               1024 kB
Rss:                 600 kB
VmFlags: rd mr mw me
{1:08x}-{2:08x} rw-p 00000000 00:00 0
Rss:                 512 kB
{3:08x}-{4:08x} rw-p 00000000 00:00 0
Rss:                 100 kB
aa0000000-aa1000000 rwxp 00000000 00:00 0
Rss:               16384 kB
"""


@pytest.mark.parametrize("shift", [0, 0x10000, 0x4000_0000])
def test_memory_beneath_an_emulator(tmp_path: Path, shift: int) -> None:
    """Only the areas that the program has, wherever the emulator put them; half of one of twice its size."""
    places = [each + shift for each in (0x400000, 0x500000, 0x600000, 0x7F000000, 0x7F100000)]
    maps, smaps = tmp_path / "maps", tmp_path / "smaps"
    maps.write_text(MAPS)
    smaps.write_text(SMAPS.format(*places))
    assert memory.emulated_bytes(str(maps), str(smaps)) == (600 + 256 + 100) * 1024


@needs_proc
def test_memory_without_an_emulator_is_all_of_it() -> None:
    """Both files are the system's, so nothing is left out."""
    status = Path("/proc/self/status").read_text()
    (resident,) = [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")]
    if "Name:\tqemu" not in status:
        assert memory.emulated_bytes() == pytest.approx(resident, rel=0.1)


def test_sizes_on_the_disk() -> None:
    """Whole packages, and this one is small."""
    sizes = installed_mb(("numpy", "no_such_package"))
    assert sizes["numpy"] > 10
    assert 0.1 < sizes["anomalite"] < 10
    assert sizes["no_such_package"] == 0


def test_versions() -> None:
    """Of what is installed as a distribution."""
    assert versions(("numpy", "no_such_package")) == {"numpy": np.__version__}
