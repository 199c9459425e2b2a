"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import os

from edge_runtime.errors import OutputError


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a power cut, finds the old file or the new one and nothing between.

    Raises `OutputError` naming the target and why it cannot be written; nothing is left behind.
    """
    target = os.fspath(path)
    folder, name = os.path.split(target)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.part")
    try:
        try:
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise
        _make_durable(folder or ".")
    except OSError as fault:
        raise OutputError(f"{target}: cannot be written: {fault.strerror}") from None


def _make_durable(folder: str) -> None:
    """Make a rename in the folder survive a power cut; Windows has no way to."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
