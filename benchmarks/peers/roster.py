"""Who is compared: each peer's script, its environment, and what its files are made by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SCRIPTS, MAKING, REQUIREMENTS = FOLDER / "scripts", FOLDER / "making", FOLDER / "requirements"
BEGIN, END = "# -- what a user writes --", "# -- to here --"
OURS = "anomalite "
"""How our rows' names begin."""


@dataclass(frozen=True)
class Group:
    """An environment that some peers share."""

    requirements: str
    """The file in `requirements/`: exact versions."""
    download_mb: int
    """What pip fetches for Linux on x86-64 with a CPU build of PyTorch, when its cache holds none of it."""
    with_wheel: bool = False
    """And the wheel of this checkout."""


GROUPS = {
    "keras": Group("keras", 605),
    "litert": Group("litert", 38),
    "onnx": Group("onnx", 40),
    "torch": Group("torch", 209),
    "torch-onnx": Group("torch-onnx", 220),
    "pyod": Group("pyod", 338),
    "scikit-learn": Group("scikit-learn", 60),
    "river": Group("river", 53),
    "anomalite-litert": Group("litert", 38, with_wheel=True),
    "anomalite-onnx": Group("onnx", 40, with_wheel=True),
    "anomalite-numpy": Group("numpy", 17, with_wheel=True),
}


@dataclass(frozen=True)
class Step:
    """A script of `making/`, run in an environment before anything is measured."""

    script: str
    group: str


@dataclass(frozen=True)
class Peer:
    """A row of the table."""

    name: str
    script: str
    """Of `scripts/`."""
    group: str
    does: str
    """What one call does, for the table."""
    steps: tuple[Step, ...] = ()
    """What makes the files it opens, in this order; the rest comes from `reference.py`."""
    modules: tuple[str, ...] = ()
    """Of `scripts/` too: what its user has to write beside the script."""

    def sources(self) -> list[str]:
        """The text of every file that its user writes."""
        return [(SCRIPTS / f"{name}.py").read_text() for name in (self.script, *self.modules)]


_STATE = Step("pytorch_eager", "torch")

PEERS = (
    Peer("keras predict", "keras_predict", "keras", "a window in, a score out"),
    Peer("tf.function", "tf_function", "keras", "a window in, a score out"),
    Peer("tflite, unfused", "tflite_unfused", "litert", "a window in, a score out", (Step("tflite_unfused", "keras"),)),
    Peer("tflite, flex", "tflite_flex", "keras", "a window in, a score out", (Step("tflite_flex", "keras"),)),
    Peer("pytorch eager", "pytorch_eager", "torch", "a window in, a score out", (_STATE,), ("pytorch_autoencoder",)),
    Peer(
        "pytorch to onnx",
        "pytorch_to_onnx",
        "onnx",
        "a window in, a score out",
        (_STATE, Step("pytorch_to_onnx", "torch-onnx")),
    ),
    Peer("bare litert", "bare_litert", "litert", "our file, the engine alone: no score"),
    Peer("bare onnx", "bare_onnx", "onnx", "our file, the engine alone: no score"),
    Peer("anomalite litert", "anomalite_litert", "anomalite-litert", "a reading in, a verdict out"),
    Peer("anomalite onnx", "anomalite_onnx", "anomalite-onnx", "a reading in, a verdict out"),
    Peer("anomalite numpy", "anomalite_numpy", "anomalite-numpy", "a reading in, a verdict out"),
    Peer(
        "pyod autoencoder",
        "pyod_autoencoder",
        "pyod",
        "a dense model of its own; a window in, a score out",
        (Step("pyod_autoencoder", "pyod"),),
    ),
    Peer(
        "isolation forest",
        "isolation_forest",
        "scikit-learn",
        "100 trees; a window in, a score out",
        (Step("isolation_forest", "scikit-learn"),),
    ),
    Peer(
        "half-space trees",
        "half_space_trees",
        "river",
        "10 trees; a reading in, its score out, no window",
        (Step("half_space_trees", "river"),),
    ),
)


def lines_a_user_writes(sources: list[str]) -> int:
    """From the first import to a score: the lines between the two marks, without blank ones, comments and docstrings of one line.

    What is written once on a workstation (training, conversion) does not count, nor does what only a benchmark needs.
    """
    count = 0
    for source in sources:
        _, found, rest = source.partition(f"{BEGIN}\n")
        counted, ended, _ = rest.partition(f"{END}\n")
        if not found or not ended:
            raise ValueError(f"expected the marks {BEGIN!r} and {END!r}, got none in {source.splitlines()[0]!r}")
        lines = [line.strip() for line in counted.splitlines()]
        count += len([line for line in lines if line and not line.startswith(("#", '"""'))])
    return count
