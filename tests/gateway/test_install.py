"""The script that installs what the gateway's tests need of the system: what it asks for, and how it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "install"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of programs, without Chromium; an `apt-get` in it writes down what it was asked."""
    for name in ("bash", "env", "mktemp", "rm", "cat", "true"):
        found = shutil.which(name)
        assert found is not None
        (tmp_path / name).symlink_to(found)
    for name in ("mosquitto", "mosquitto_sub"):
        program(tmp_path / name, "exit 0")
    program(tmp_path / "id", "echo 0")
    program(tmp_path / "apt-get", f'echo "$DEBIAN_FRONTEND: $*" >> {tmp_path}/asked; echo "Reading package lists"')
    return tmp_path


def program(file: Path, does: str) -> None:
    """Write one in a line of bash."""
    file.write_text(f"#!/bin/bash\n{does}\n")
    file.chmod(0o755)


def run(programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script's answer, with only these programs in its path."""
    return subprocess.run(
        [str(SCRIPT), *arguments], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )


def asked(programs: Path) -> list[str]:
    """What apt-get was asked, without its options."""
    if not (programs / "asked").exists():
        return []
    lines = (programs / "asked").read_text().splitlines()
    assert all(line.startswith("noninteractive: -qq ") for line in lines)
    return [" ".join(word for word in line.split()[2:] if "=" not in word and word != "-o") for line in lines]


def test_it_can_be_started() -> None:
    """It is executable, and bash can read it."""
    assert os.access(SCRIPT, os.X_OK)
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0


def test_what_is_there_is_left_alone(programs: Path) -> None:
    """Nothing is asked and nothing is said."""
    program(programs / "chromium", "exit 0")
    done = run(programs)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert asked(programs) == []


def test_only_what_is_missing_is_installed(programs: Path) -> None:
    """Without what those packages merely recommend, and without what apt-get tells."""
    done = run(programs)
    assert (done.returncode, done.stdout) == (0, "installing chromium, a minute or two\n")
    assert asked(programs) == ["update", "install --yes --no-install-recommends chromium"]


def test_lists_that_cannot_be_renewed_are_taken_as_they_are(programs: Path) -> None:
    """A network that is away does not matter to a package that is in a cache."""
    program(programs / "apt-get", 'for word in "$@"; do [ "$word" != update ] || exit 100; done')
    done = run(programs)
    assert done.returncode == 0
    assert "apt-get update failed" in done.stderr


def test_a_failure_is_said_with_what_apt_get_said(programs: Path) -> None:
    """And with status 3, which `make test` overlooks outside CI."""
    program(programs / "apt-get", 'echo "E: Unable to locate package" >&2; exit 100')
    done = run(programs)
    assert done.returncode == 3
    assert "E: Unable to locate package\ninstall: apt-get could not install chromium\n" in done.stderr


@pytest.mark.parametrize("sudo", [None, "exit 1"])
def test_a_user_without_sudo_is_told_the_command(programs: Path, sudo: str | None) -> None:
    """Where sudo is missing or wants a password nothing is tried."""
    program(programs / "id", "echo 1000")
    if sudo is not None:
        program(programs / "sudo", sudo)
    done = run(programs)
    assert (done.returncode, done.stderr) == (3, "install: chromium not installed: sudo apt-get install chromium\n")
    assert asked(programs) == []


def test_a_user_with_sudo_installs_by_it(programs: Path) -> None:
    """As root would."""
    program(programs / "id", "echo 1000")
    program(programs / "sudo", '[ "$1" = -n ] && shift && exec "$@"')
    assert run(programs).returncode == 0
    assert asked(programs)[-1] == "install --yes --no-install-recommends chromium"


def test_wrong_use_is_refused(programs: Path) -> None:
    """Arguments are none of its business."""
    assert run(programs, "--help").returncode == 2
    assert asked(programs) == []
