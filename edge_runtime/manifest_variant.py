"""What the manifest says of the model's variants: the same model in the formats that the engines run."""

from edge_runtime.record import Record


class ParityCheck(Record):
    """How far a variant, read back from a sealed file, is from the trained model on one set of windows."""

    windows: int
    """How many windows were compared."""
    reconstruction: float
    """The largest difference of a reconstructed value, relative to the largest one (at least 1 scaled unit)."""
    score: float
    """The largest difference of a score, relative to the trained model's."""
    flipped: int
    """How many windows were decided differently."""
    average_precision: float | None = None
    """By how much the average precision differs, on a set that holds normal and anomalous windows."""


class Requires(Record):
    """What a board must have for a variant, beside one of its engines."""

    operators: dict[str, int] = {}  # noqa: RUF012 - each record has its own
    """The operators of a TFLite file, each with the newest version of it in the file; `tflite-runtime` has older ones only."""
    cpus: tuple[str, ...] = ()
    """The kinds of CPU it is for (`cpu.py`); empty: every one. On another it may be slow, or wrong."""


class Variant(Record):
    """The same model in one format that some engine runs."""

    name: str
    """`FORMAT-PRECISION`, `FORMAT-KIND-PRECISION`: onnx-float32, tflite-unrolled-float16."""
    file: str
    """The member of the bundle that holds it. Two variants may share one and differ in how it is calculated."""
    engines: tuple[str, ...]
    """The engines that run it."""
    sha256: str
    """Of the member, 64 lower-case hexadecimal digits."""
    size: int
    """Of the member, in bytes."""
    tolerance: float
    """The largest relative difference of a golden score that `verify` accepts on another machine."""
    parity: dict[str, ParityCheck] = {}  # noqa: RUF012 - likewise
    """The parity record it passed, by set of windows: normal, disturbed, near_threshold, labelled."""
    boards: tuple[str, ...] = ()
    """The kinds of CPU on which it is the one to take, as measured (`cpu.py`)."""
    requires: Requires = Requires()
    half: bool = False
    """Whether it is calculated in half precision where the CPU has it."""
    largest_batch: int | None = None
    """The most windows in one call; None: any number. One that quantizes a batch as a whole is asked for one window at a time."""
    threshold: float | None = None
    """The threshold for this variant's scores, where the bundle's own would decide otherwise than the trained model."""

    def __post_init__(self) -> None:
        if self.largest_batch is not None and self.largest_batch < 1:
            raise ValueError(f"expected a largest_batch of at least 1, got {self.largest_batch}")
        if self.threshold is not None and not self.threshold > 0:
            raise ValueError(f"expected a threshold above zero, got {self.threshold:g}")


class Golden(Record):
    """The golden readings: a recorded stream with the verdicts it must produce."""

    file: str
    """The member of the bundle that holds them."""
    sha256: str
    """Of the member."""
    size: int
    """Of the member, in bytes."""
