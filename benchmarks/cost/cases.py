"""What the cost gate counts: each case's name, and the emulated processes that count it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from benchmarks.cost.device import MARKS_A_ROUND, ROUNDS, STRETCHES
from benchmarks.instructions_update import SCORES
from benchmarks.reference_bundle import FAMILIES, LENGTH, Reference
from export.variants import ALL, choose_recipes

ENGINES = ("litert", "onnx", "numpy")
BOARDS = (4, 5)
ONLY_ON_FIVE, ALSO_ON_FIVE = "float16", ("float16", "int8")
"""Parts of the names of variants: without half precision such a file runs as its float32 twin; with it and the int8 dot product these
two kinds are other code, and nothing else is."""
STARTS_WITH = {"litert": "tflite-unrolled-float32", "onnx": "onnx-float32", "numpy": "numpy-float32"}
"""The variant that `load` takes on a Pi 4, by engine, of the default bundle."""
BUNDLES = {
    "all": Reference("lstm_autoencoder"),
    **{family: Reference(family, variants=()) for family in FAMILIES},
}
"""The bundles, by what a case calls them."""

Select = Callable[[str], bool]


class Device(Protocol):
    """Where processes run, and what they find there."""

    def bundle(self, name: str) -> Path:
        """One of `BUNDLES`."""
        ...

    def floor(self, name: str, variant: str, engine: str) -> tuple[Path, str]:
        """A file with what the bundle holds as that variant, and the least a program does to open it (`bare.opening`)."""
        ...

    def run(self, board: int, arguments: Sequence[str], marks: int, where: str) -> tuple[int, ...]:
        """The counts at the marks of a run of Python. Raises `ExportError`."""
        ...


@dataclass(frozen=True)
class Work:
    """Cases that one process counts, each in stretches (`device.py`)."""

    board: int
    cases: Mapping[str, tuple[str, ...]]
    """By name: the kind and its arguments, a bundle among them as `BUNDLES` calls it."""

    @property
    def names(self) -> list[str]:
        """Of what it counts."""
        return list(self.cases)

    def only(self, select: Select) -> Work:
        """Less of it."""
        return replace(self, cases={name: case for name, case in self.cases.items() if select(name)})

    def count(self, device: Device) -> dict[str, float]:
        """Instructions a call, by name."""
        cases = dict(self.cases)
        if any(kind == "update" for kind, *_ in cases.values()):
            cases["empty"] = ("update", "empty")
        work = [[str(device.bundle(part)) if part in BUNDLES else part for part in case] for case in cases.values()]
        arguments = ["-m", "benchmarks.cost.device", json.dumps(work)]
        marks = list(
            device.run(self.board, arguments, len(cases) * ROUNDS * MARKS_A_ROUND, f"{self.names[0]} and others")
        )
        counts = {}
        for name, (kind, *_) in cases.items():
            few, many = STRETCHES[kind]
            rounds = [[marks.pop(0) for _ in range(MARKS_A_ROUND)] for _ in range(ROUNDS)]
            more = [(late - later) - (early - start) for start, early, later, late in rounds]
            counts[name] = sum(more) / ROUNDS / (many - few)
        empty = counts.pop("empty", 0.0)
        return {name: count - empty * (cases[name][0] == "update") for name, count in counts.items()}


@dataclass(frozen=True)
class Start:
    """Fresh processes: a user's, until the first verdict, and one that only does what nobody can do without (`start.py`)."""

    board: int
    engine: str

    @property
    def names(self) -> list[str]:
        """From the first instruction of Python to the first verdict; the same less the floor."""
        return [f"start/{self.engine}", f"start/{self.engine}/above"]

    def only(self, select: Select) -> Start | None:
        """All of it or nothing."""
        return self if any(map(select, self.names)) else None

    def count(self, device: Device) -> dict[str, float]:
        """Instructions, by name."""
        script, variant = str(Path(__file__).with_name("start.py")), STARTS_WITH[self.engine]
        bundle = str(device.bundle("lstm_autoencoder"))
        model, opening = device.floor("lstm_autoencoder", variant, self.engine)
        *_, ours = device.run(self.board, [script, "ours", self.engine, bundle, variant], 4, self.names[0])
        *_, floor = device.run(self.board, [script, "floor", str(model), opening], 2, f"{self.names[0]}, the floor")
        return dict(zip(self.names, (ours, ours - floor), strict=True))


def jobs(boards: Sequence[int] = BOARDS, select: Select = lambda name: True) -> list[Work | Start]:
    """What is counted, in parts that may run in any order."""
    parts: list[Work | Start] = []
    for board in boards:
        for engine in ENGINES:
            cases = _windows(engine, board)
            if board == BOARDS[0]:
                cases |= {f"load/{engine}": ("load", "lstm_autoencoder", engine)}
                parts.append(Start(board, engine))
            parts.append(Work(board, cases))
    if BOARDS[0] in boards:
        scores = [name for name in SCORES if name not in ("reference", "empty")]  # the reference is `mae`
        cases = {f"update/{score}": ("update", score) for score in scores}
        parts.append(Work(BOARDS[0], {**cases, "read": ("read", "lstm_autoencoder")}))
    selected = [part.only(select) for part in parts]
    return [part for part in selected if part and part.names]


def _windows(engine: str, board: int) -> dict[str, tuple[str, ...]]:
    cases: dict[str, tuple[str, ...]] = {}
    for family in FAMILIES:
        bundle = "all" if family == BUNDLES["all"].family else family
        recipes = choose_recipes([ALL] if bundle == "all" else None, family.startswith("lstm_"), LENGTH)
        for recipe in (each for each in recipes if engine in each.engines):
            parts = ALSO_ON_FIVE if board == BOARDS[1] else ()
            if any(part in recipe.name for part in parts) or (not parts and ONLY_ON_FIVE not in recipe.name):
                cases[f"window/{family}/{recipe.name}/{engine}"] = ("window", bundle, recipe.name, engine)
    return cases
