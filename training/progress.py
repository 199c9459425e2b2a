"""How far training has come, on standard error: a live bar on a terminal, a line every two seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from training.fit import Epoch, Progress

SECONDS_A_LINE = 2.0
"""Not more often than this is a line written where there is no terminal."""


@contextmanager
def show_progress(epochs: int) -> Iterator[Progress]:
    """Show the epochs, at most `epochs` of them, while the `with` block runs; yields whom to tell of each."""
    if sys.stderr.isatty():
        with _bar(epochs) as progress:
            yield progress
    else:
        yield _lines(epochs)


@contextmanager
def _bar(epochs: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("training: epoch"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("training", total=epochs, losses="compiling")
        yield lambda number, epoch: bar.update(task, completed=number, losses=_losses(epoch))


def _lines(epochs: int) -> Progress:
    last_line = -SECONDS_A_LINE

    def show(number: int, epoch: Epoch) -> None:
        nonlocal last_line
        now = time.monotonic()
        if now - last_line >= SECONDS_A_LINE or number == epochs:
            last_line = now
            print(f"training: epoch {number}/{epochs}, {_losses(epoch)}", file=sys.stderr, flush=True)

    return show


def _losses(epoch: Epoch) -> str:
    return f"loss {epoch.loss:.4f}, held out {epoch.held_out_loss:.4f}"
