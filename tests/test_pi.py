"""The scripts that make an emulated Raspberry Pi: what they refuse, and how. What they make is tested by `nox -s pi`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from demo_run import REPOSITORY

from export.arm import find_root

PI = REPOSITORY / "pi"
SCRIPTS = ("make-root", "pi-python", "pi-pip", "pi-count")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The script's answer."""
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with what a root has of its own, and no Debian."""
    for name in SCRIPTS[1:]:
        shutil.copy(PI / name, tmp_path)
    (tmp_path / ".settings").write_text("qemu=qemu-aarch64 python=python3.11 wheel=aarch64 board=4\n")
    return tmp_path


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_one(name: str) -> None:
    """It can be started, bash can read it, and its head says how it is used."""
    script = PI / name
    assert os.access(script, os.X_OK)
    assert run("bash", "-n", script).returncode == 0
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    assert lines[1].startswith(f"# {name} ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: make-root TARGET"),
        (["x", "arm64", "bookworm", "more"], "usage: make-root TARGET"),
        (["x", "riscv64"], "expected the architecture arm64 or armhf, got riscv64"),
        (["x", "arm64", "buster"], "expected the suite bookworm or trixie, got buster"),
    ],
)
def test_wrong_use_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    """On one line, with status 2, and nothing is made."""
    done = run(PI / "make-root", *(str(tmp_path / each) if each == "x" else each for each in arguments))
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """A root is only ever made in place of one that make-root made."""
    (tmp_path / "photo.jpg").write_bytes(b"1")
    done = run(PI / "make-root", tmp_path)
    assert done.returncode == 2
    assert "holds something that make-root did not make" in done.stderr
    assert (tmp_path / "photo.jpg").read_bytes() == b"1"


def test_a_missing_tool_is_said(tmp_path: Path) -> None:
    """With status 3 and the command that installs it: nox skips on that."""
    for name in ("bash", "dirname", "realpath", "cat", "sha256sum", "cut", "rmdir", "mkdir", "rm"):
        found = next(Path(folder, name) for folder in os.environ["PATH"].split(":") if Path(folder, name).exists())
        (tmp_path / name).symlink_to(found)
    (tmp_path / "id").write_text("#!/bin/bash\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    done = run(PI / "make-root", tmp_path / "root", PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (
        3,
        "make-root: qemu-user mmdebstrap not installed: apt-get install qemu-user mmdebstrap\n",
    )
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("board", ["2", "6", "zero"])
def test_a_board_of_another_kind_is_refused(root: Path, board: str) -> None:
    """A root of 64 bits is no Raspberry Pi 2."""
    done = run(root / "pi-python", "-c", "", PI=board)
    assert done.returncode == 2
    assert done.stderr == (
        f"pi-python: PI={board} does not fit this root (aarch64): expected 2 for armv7l; 3, 4 or 5 for aarch64\n"
    )


def test_an_emulator_without_plugins_is_said(root: Path) -> None:
    """With status 3, before anything is built for it. (Debian 13's is one.)"""
    emulator = root / "emulator"
    emulator.write_text(
        '#!/bin/bash\n[ "$1" = --version ] && echo "qemu-aarch64 version 10.0.2" || echo "-cpu model"\n'
    )
    emulator.chmod(0o755)
    (root / ".settings").write_text(f"qemu={emulator} python=python3.11 wheel=aarch64 board=4\n")
    done = run(root / "pi-count", "-c", "")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert done.stderr.startswith(f"pi-count: this {emulator} is built without plugins")


COUNT = """
import os, sys
for mark, turns in enumerate(map(int, sys.argv[1:])):
    for _ in range(turns):
        hash("reading")
    os.isatty(-7001000 - mark)
os.isatty(-7000999), os.isatty(-7002000)
"""
"""A loop, a mark, a longer loop, a mark ... and two files that are none of the marks, one on either side."""


def test_marks_count_what_two_runs_differ_by() -> None:
    """Within 0.2 %, in the order of the marks, and nothing but marks is taken for one."""
    made = find_root()
    if made is None:
        pytest.skip("no ARM userland: `nox -s cost` makes one")
    marks: list[list[int]] = []
    for _ in range(2):
        done = run(made / "pi-count", "-c", COUNT, "1000", "1000", "21000")
        assert done.returncode == 0
        assert re.findall(r"^mark (\d+):", done.stderr, re.MULTILINE) == ["0", "1", "2"]
        marks.append([int(count) for count in re.findall(r"^mark \d+: (\d+)$", done.stderr, re.MULTILINE)])
    inside = [(end - middle) - (middle - start) for start, middle, end in marks]
    assert inside[1] == pytest.approx(inside[0], rel=2e-3)

    totals = []
    for turns in ("1000", "21000"):
        done = run(made / "pi-count", "-c", COUNT, turns)
        totals.append(int(done.stderr.splitlines()[-1].removeprefix("instructions: ")))
    assert totals[1] - totals[0] == pytest.approx(inside[0], rel=2e-3)


def test_every_board_of_nox_can_be_made() -> None:
    """The names of its roots are a suite and an architecture that make-root knows."""
    roots = re.findall(r'nox\.param\(\s*"((?:bookworm|trixie)-\w+[^"]*)"', (REPOSITORY / "noxfile.py").read_text())
    assert len(roots) >= 6
    made = (PI / "make-root").read_text()
    for root in roots:
        suite, architecture = root.split("-")[:2]
        assert f"  {architecture}) qemu=" in made
        assert suite in ("bookworm", "trixie")
