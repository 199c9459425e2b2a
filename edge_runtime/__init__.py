"""anomalite on the device: load a bundle, hand it readings, get verdicts.

    from edge_runtime import load
    detector = load("pump.anomalite")
    verdict = detector.update(reading)

Needs numpy and, for speed, one inference engine; imports none of them before a bundle is opened.
"""

from edge_runtime.detector import Detector
from edge_runtime.errors import (
    AnomaliteError,
    BundleError,
    EngineError,
    ExportError,
    ExtraMissingError,
    InputError,
    OutputError,
    PayloadError,
    ReadingError,
    RunError,
    SchemaError,
    StateError,
    StoreError,
    TableError,
    TrainingError,
)
from edge_runtime.opening import load
from edge_runtime.readings import Alert, Reading, Verdict, Verdicts

__all__ = [
    "Alert",
    "AnomaliteError",
    "BundleError",
    "Detector",
    "EngineError",
    "ExportError",
    "ExtraMissingError",
    "InputError",
    "OutputError",
    "PayloadError",
    "Reading",
    "ReadingError",
    "RunError",
    "SchemaError",
    "StateError",
    "StoreError",
    "TableError",
    "TrainingError",
    "Verdict",
    "Verdicts",
    "load",
]
