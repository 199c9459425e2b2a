"""A file is written whole or not at all, and what stopped it is said."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.errors import OutputError
from edge_runtime.files import write_whole


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "target"


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(("failure", "error"), [(no_space, OutputError), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("existing", [None, b"the old one"])
def test_a_failed_write_leaves_nothing(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    failure: Callable[..., None],
    error: type[BaseException],
    existing: bytes | None,
) -> None:
    """Disk full, or Ctrl-C in the middle: an error, the old file untouched, no temporary file."""
    if existing is not None:
        path.write_bytes(existing)
    monkeypatch.setattr(os, step, failure)
    with pytest.raises(error) as caught:
        write_whole(path, b"new")
    if error is OutputError:
        assert str(caught.value) == f"{path}: cannot be written: No space left on device"
    assert [each.name for each in path.parent.iterdir()] == ([] if existing is None else [path.name])
    assert existing is None or path.read_bytes() == existing


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_for_real(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device that is always full."""
    real_open = open
    monkeypatch.setattr(
        "builtins.open", lambda name, mode: real_open("/dev/full" if str(name).endswith(".part") else name, mode)
    )
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        write_whole(path, b"x" * 100)
    assert not path.exists()


def test_unwritable_targets(tmp_path: Path) -> None:
    """A folder that is a file, that is not there, or a target that is a folder: an error, and nothing is left behind."""
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    for target, reason in (
        ("file/x", "Not a directory"),
        ("none/x", "No such file or directory"),
        ("folder", "Is a directory"),
        ("f" * 300, "File name too long"),
    ):
        with pytest.raises(OutputError, match=f"{target}: cannot be written: {reason}"):
            write_whole(tmp_path / target, b"new")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list((tmp_path / "folder").iterdir()) == []


@pytest.mark.parametrize("target", ["", ".", "..", "/"])
def test_targets_without_a_name(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are an error like any other target that cannot be written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="cannot be written"):
        write_whole(target, b"x")
    assert list(tmp_path.iterdir()) == []


def test_a_write_replaces_the_old_file_whole(tmp_path: Path) -> None:
    """And a file in the current folder needs no path."""
    target = tmp_path / "x"
    target.write_bytes(b"old and longer")
    write_whole(target, b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_what_was_left_by_a_power_cut_is_no_obstacle(tmp_path: Path) -> None:
    """A temporary file of the same name, from a process that died, does not stop the next write."""
    target = tmp_path / "x"
    (tmp_path / f".x.{os.getpid()}.part").write_bytes(b"half")
    write_whole(target, b"new")
    assert list(tmp_path.iterdir()) == [target]
