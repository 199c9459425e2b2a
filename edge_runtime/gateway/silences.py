"""Machines that have gone silent: each silence is told once, and so is its end, whatever restarts and known work there are in between."""

from __future__ import annotations

import json
from collections.abc import Iterable

from edge_runtime.gateway.event import Silence

KEY = "silence "
"""What the store remembers a machine's silence by goes on with its name."""


class Silences:
    """Of all machines. What changes is to be stored under `KEY` and the machine's name, as `text` says it."""

    def __init__(self) -> None:
        self._of: dict[str, Silence] = {}
        self._untold: dict[str, None] = {}

    def begin(self, silence: Silence, *, is_told: bool) -> None:
        """A machine has gone silent; not told of during known work on it."""
        self._of[silence.machine] = silence
        if not is_told:
            self._untold[silence.machine] = None

    def end(self, machine: str) -> tuple[Silence | None, bool]:
        """It is heard again: what its silence was, and whether that was told."""
        is_told = machine not in self._untold
        self._untold.pop(machine, None)
        return self._of.pop(machine, None), is_told

    @property
    def untold(self) -> list[str]:
        """Silent machines of which that was not told."""
        return list(self._untold)

    def tell(self, machine: str) -> Silence:
        """It is told now."""
        del self._untold[machine]
        return self._of[machine]

    def text(self, machine: str) -> str:
        """For the store; empty: the machine is not silent."""
        silence = self._of.get(machine)
        return "" if silence is None else json.dumps([*silence, machine not in self._untold])

    def restore(self, texts: Iterable[str]) -> list[Silence]:
        """Take up the silences of an earlier process, of those machines that are still watched; returns them."""
        for text in texts:
            *fields, is_told = json.loads(text)
            self.begin(Silence(*fields), is_told=is_told)
        return list(self._of.values())
