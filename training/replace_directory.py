"""Making a directory appear whole, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.errors import OutputError, RunError


def check_target(path: str | Path, replaceable: str | None = None) -> Path:
    """The absolute path of a directory that may be written; called early, so that no hours of training are lost.

    `replaceable`: a directory with a file of that name may be replaced, and an empty one; None: nothing may be. Raises
    `RunError` if something else is there, and `OutputError` if the place cannot be written.
    """
    target = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link to what is then replaced
    if os.path.lexists(target):
        if replaceable is None:
            raise RunError(f"{path}: exists already: choose another --out, or --force to replace it")
        if target.is_symlink() or not target.is_dir():
            raise RunError(f"{path}: expected a directory to replace, found a link or a file: left as it is")
        if not (target / replaceable).is_file() and any(target.iterdir()):
            raise RunError(f"{path}: expected an earlier run to replace, found no {replaceable!r}: left as it is")
    parent = next(folder for folder in target.parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise OutputError(f"{path}: cannot be written: {parent} is not a directory")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: cannot be written: no permission to write in {parent}")
    return target


@contextmanager
def replace_directory(path: str | Path, replaceable: str | None = None) -> Iterator[Path]:
    """A new folder next to `path` to write into; it takes that name when the `with` block ends without an exception.

    What was there is removed only then. After any exception, Ctrl-C too, the new folder is gone and the old one in place.
    Raises as `check_target`.
    """
    target = check_target(path, replaceable)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        yield partial
        _sync(partial)
        check_target(path, replaceable)  # again: training took its time
        _exchange(partial, target, old)
    except OSError as fault:
        raise OutputError(f"{path}: cannot be written: {fault.strerror or fault}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(partial: Path, target: Path, old: Path) -> None:
    """Put `partial` in the place of `target`, which becomes `old`; on failure everything stays where it was."""
    had_one = target.exists()
    try:
        if had_one:
            target.rename(old)
        partial.rename(target)
    except BaseException:
        if had_one and old.exists() and not target.exists():
            old.rename(target)
        raise


def _sync(folder: Path) -> None:
    """Make the folder's files durable before it gets its name."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
