"""Time and peak memory of `update`, `update_many` (64 machines) and `score` (256 readings), by engine and what the model is like.

Time is the process's CPU time: everything here has one thread, and what else the machine does shall count as little as possible.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from benchmarks.history import subjects
from benchmarks.history.subjects import Call
from benchmarks.reference_bundle import FAMILIES, Reference

version = subjects.VERSION


class Timing:
    """How asv is to sample calls of microseconds to milliseconds, opened by the first one (asv has an instance a process)."""

    sample_time = 0.02
    repeat = (3, 10, 0.4)
    timer = time.process_time
    call: Call | None = None

    def first(self, make: Callable[..., Call], *arguments: Any, **more: Any) -> Call:
        """What later calls find in `call`."""
        self.call = make(*arguments, **more)
        return self.call


class Scoring(Timing, ABC):
    """The three ways to score a reading, with an engine and a bundle that depends on one value."""

    @abstractmethod
    def reference(self, value: Any) -> Reference:
        """The bundle."""

    def time_update(self, engine: str, value: Any) -> None:
        (self.call or self.first(subjects.update, engine, self.reference(value)))()

    def time_update_many(self, engine: str, value: Any) -> None:
        (self.call or self.first(subjects.update_many, engine, self.reference(value)))()

    def time_score(self, engine: str, value: Any) -> None:
        (self.call or self.first(subjects.score, engine, self.reference(value)))()

    def peakmem_update(self, engine: str, value: Any) -> None:
        subjects.update(engine, self.reference(value))()

    def peakmem_update_many(self, engine: str, value: Any) -> None:
        subjects.update_many(engine, self.reference(value))()

    def peakmem_score(self, engine: str, value: Any) -> None:
        subjects.score(engine, self.reference(value))()


class Family(Scoring):
    """T=32, C=4."""

    params = (subjects.ENGINES, FAMILIES)
    param_names = ("engine", "family")

    def reference(self, value: str) -> Reference:
        """Of that family."""
        return Reference(family=value, variants=())


class Length(Scoring):
    """LSTM autoencoder, C=4, shorter and longer than the 32 of `Family`."""

    params = (subjects.ENGINES, subjects.LENGTHS)
    param_names = ("engine", "T")

    def reference(self, value: int) -> Reference:
        """With so many readings in a window."""
        return Reference(length=value, variants=())


class Channels(Scoring):
    """LSTM autoencoder, T=32, fewer and more channels than the 4 of `Family`."""

    params = (subjects.ENGINES, subjects.CHANNELS)
    param_names = ("engine", "C")

    def reference(self, value: int) -> Reference:
        """With so many channels."""
        return Reference(channels=value, variants=())


class Batch(Timing):
    """LSTM autoencoder, T=32, C=4, by the most windows in one engine call."""

    params = (subjects.ENGINES, subjects.BATCHES)
    param_names = ("engine", "batch")

    def time_update_many(self, engine: str, batch: int) -> None:
        (self.call or self.first(subjects.update_many, engine, subjects.STANDARD, batch=batch))()

    def time_score(self, engine: str, batch: int) -> None:
        (self.call or self.first(subjects.score, engine, subjects.STANDARD, batch=batch))()

    def peakmem_update_many(self, engine: str, batch: int) -> None:
        subjects.update_many(engine, subjects.STANDARD, batch=batch)()

    def peakmem_score(self, engine: str, batch: int) -> None:
        subjects.score(engine, subjects.STANDARD, batch=batch)()


def peakmem_nothing() -> None:
    """What a process that has imported numpy and these suites holds: to be taken off the others."""
