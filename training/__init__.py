"""anomalite on the workstation: learn what is normal from a table of readings.

    from training import train
    run = train("pump.toml", out="runs/pump")
    run.manifest.threshold.value

Importing this imports no TensorFlow; training does. It may use `edge_runtime`, and never `export`.
"""

from training.config import Config, load_config
from training.evaluate import AlarmReport, Evaluation, alarm_report, evaluate_verdicts
from training.flow import train
from training.run_directory import Run, read_run

__all__ = [
    "AlarmReport",
    "Config",
    "Evaluation",
    "Run",
    "alarm_report",
    "evaluate_verdicts",
    "load_config",
    "read_run",
    "train",
]
