"""From a run directory to one verified file: convert, prove against the trained model, seal.

    from export import export_run
    result = export_run("runs/pump", "pump.anomalite")

Needs the extra `train`. Importing this package imports no TensorFlow.
"""

from export.outcome import VariantOutcome
from export.seal import ExportResult, export_run

__all__ = ["ExportResult", "VariantOutcome", "export_run"]
