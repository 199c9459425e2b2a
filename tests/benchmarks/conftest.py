"""Small copies of the data sets' layouts, made up: the loaders take whatever files are there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

SKAB_COLUMNS = ("datetime", "flow", "pressure", "anomaly", "changepoint")


def rows_of(rows: int, channels: int, seed: int) -> np.ndarray:
    """Correlated noise (rows, channels)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 1)) + 0.5 * rng.normal(size=(rows, channels))


def write_csv(path: Path, columns: tuple[str, ...], rows: list[list[object]], separator: str = ",") -> None:
    """A table, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(separator.join(map(str, row)) for row in (columns, *rows)) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with one small file of each data set."""
    second = np.datetime64("2020-01-01T00:00:00")
    values = rows_of(500, 2, 1)
    values[450:480] += 8
    skab = [
        [str(second + i).replace("T", " "), *values[i], float(450 <= i < 480), 0.0] for i in range(len(values))
    ]  # fmt: skip
    write_csv(tmp_path / "skab/data/valve9/1.csv", SKAB_COLUMNS, skab, ";")
    write_csv(tmp_path / "skab/data/anomaly-free/anomaly-free.csv", SKAB_COLUMNS[:3], [row[:3] for row in skab], ";")

    (tmp_path / "asd").mkdir()
    train, test = rows_of(400, 3, 2), rows_of(200, 3, 3)
    test[50:70, 1:] += 6
    label = np.zeros(200)
    label[50:70] = 1
    np.savez(tmp_path / "asd/ASD_omi-9.npz", train=train, test=test, label=label)
    (tmp_path / "asd/omi-9.txt").write_text("50-69:2,3\n")

    hours = np.datetime64("2014-01-01T00:00:00") + np.arange(400) * np.timedelta64(5, "m")
    series = rows_of(400, 1, 4)[:, 0]
    series[300:310] += 9
    write_csv(
        tmp_path / "nab/pump.csv",
        ("timestamp", "value"),
        [[str(hour).replace("T", " "), value] for hour, value in zip(hours, series, strict=True)],
    )
    spans = [[f"{str(hours[295]).replace('T', ' ')}.000000", f"{str(hours[324]).replace('T', ' ')}.000000"]]
    (tmp_path / "nab/windows.json").write_text(json.dumps({"pump.csv": spans, "not_here.csv": []}))
    costs = {"tpWeight": 1.0, "fnWeight": 1.0, "fpWeight": 0.11, "tnWeight": 1.0}
    (tmp_path / "nab/profiles.json").write_text(json.dumps({"standard": {"CostMatrix": costs}}))
    return tmp_path
