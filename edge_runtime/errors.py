"""What can go wrong, one class for each failure a caller can act on.

    AnomaliteError
    ├── InputError              what was given cannot be used
    │   ├── TableError          a table or stream of readings: names file, row and column
    │   ├── ReadingError        values, times or machines handed to a Detector
    │   ├── StateError          a machine's state in bytes that is damaged, or of another kind of detector
    │   ├── PayloadError        a message to the gateway that holds no readings of its machines
    │   └── SchemaError         a configuration or manifest: names file and the path of the fault
    ├── BundleError             a file that is not a whole, unaltered bundle this version can read
    ├── RunError                a run directory that is incomplete or does not fit
    ├── EngineError             an inference engine that is missing, refuses the model or fails
    ├── ExtraMissingError       a command whose optional dependencies are not installed
    ├── TrainingError           normal data that a model or threshold cannot be fitted to
    ├── ExportError             a model that cannot be converted, or whose variants all failed parity
    ├── OutputError             a target that cannot be written
    └── StoreError              the gateway's database cannot be opened, read or written

Every message is one line: what was expected, what was found, where, and what to do. The command line
prints it on standard error and exits with status 2.
"""


class AnomaliteError(Exception):
    """The root: catch it to catch everything this package raises on purpose."""


class InputError(AnomaliteError):
    """What was given cannot be used."""


class TableError(InputError):
    """A table or stream of readings is malformed; the message names file, row and column."""


class ReadingError(InputError):
    """Values, times or machine ids handed to a Detector have the wrong shape, type or range."""


class StateError(InputError):
    """A machine's state in bytes is damaged, or was remembered by a detector that keeps other things."""


class PayloadError(InputError):
    """A message to the gateway holds no readings of its machines.

    `reason` is one of a few words that the metrics count by: `json`, `shape`, `type`, `time`, `channel`, `size`, `topic`, `machine`,
    `command`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SchemaError(InputError):
    """A configuration or manifest does not have the expected form.

    `source` is the file, `path` the place in it (`$.scaling.center`), `fault` what is wrong there.
    """

    def __init__(self, source: str, path: str, fault: str) -> None:
        super().__init__(f"{source}: {fault} - at {path}")
        self.source = source
        self.path = path
        self.fault = fault


class BundleError(AnomaliteError):
    """The file is not a whole, unaltered bundle that this version can read."""


class RunError(AnomaliteError):
    """A run directory is incomplete, exists already, or does not fit what is asked of it."""


class EngineError(AnomaliteError):
    """An inference engine is missing, refuses the model, or failed."""


class ExtraMissingError(AnomaliteError):
    """A command needs optional dependencies; the message names the extra to install."""

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: pip install 'anomalite[{extra}]'"
        )
        self.extra = extra


class TrainingError(AnomaliteError):
    """The normal data does not support a model or a threshold."""


class ExportError(AnomaliteError):
    """The model cannot be converted, or none of its variants passed parity."""


class OutputError(AnomaliteError):
    """A target cannot be written (no space, no permission, not a directory)."""


class StoreError(AnomaliteError):
    """The gateway's database cannot be opened, read or written: another program's file, no space, read-only."""
