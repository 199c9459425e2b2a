"""Makes `format-1/tiny.anomalite`: the whole way from synthetic readings through training and export to a bundle.

The committed file is the example of bundle format 1 and is kept forever: write a new format's example beside it, and do not
make this one again unless it was never released. Needs the workstation's environment; run by hand from the repository's
root: `python -m tests.runtime.data.generate_tiny`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from export import export_run
from training import train

TARGET = Path(__file__).parent / "format-1" / "tiny.anomalite"

CONFIG = """
name = "tiny"
seed = 7

[data]
files = ["readings.csv"]
time_column = "time"

[[channels]]
name = "flow"
unit = "l/s"
low = 0.0
high = 40.0

[[channels]]
name = "pressure"
unit = "bar"
low = 0.0

[[channels]]
name = "temperature"
unit = "°C"

[sampling]
period_s = 60.0
longest_gap_s = 180.0

[cleaning]
hold_limit = 2

[window]
length = 8

[model]
family = "lstm_autoencoder"
units = 6

[fit]
epochs = 60
learning_rate = 0.01

[score]
kind = "mae"

[threshold]
percentile = 99.0
factor = 1.5

[alarm]
k = 2
n = 3
exit = 0.9
cooldown_s = 600.0
"""


def readings(rows: int = 1500) -> str:
    """A pump's normal days as CSV: flow and pressure swing together, the temperature follows slowly."""
    rng = np.random.default_rng(1)
    phase = np.arange(rows) * 2 * np.pi / 24
    flow = 20 + 4 * np.sin(phase) + rng.normal(0, 0.3, rows)
    pressure = 5 - 0.8 * np.sin(phase) + rng.normal(0, 0.06, rows)
    temperature = 60 + 3 * np.sin(phase / 4) + rng.normal(0, 0.2, rows)
    start = np.datetime64("2026-01-05T00:00:00")
    lines = ["time,flow,pressure,temperature"]
    for row in range(rows):
        time = start + np.timedelta64(60 * row, "s")
        lines.append(f"{time}Z,{flow[row]:.3f},{pressure[row]:.4f},{temperature[row]:.2f}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Train, export, and put the bundle in place."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "tiny.toml"
        config.write_text(CONFIG, encoding="utf-8")
        (Path(folder) / "readings.csv").write_text(readings(), encoding="utf-8")
        train(config, Path(folder) / "run")
        result = export_run(Path(folder) / "run", TARGET)
    for outcome in result.outcomes:
        print(outcome.name, outcome.size, outcome.refused or "sealed")
    print(TARGET, TARGET.stat().st_size)


if __name__ == "__main__":
    main()
