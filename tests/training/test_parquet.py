"""Parquet files are read under the rules of CSV files."""

from __future__ import annotations

import pandas as pd
import pytest

from edge_runtime.errors import TableError
from edge_runtime.tables import read_table
from training.parquet import read_parquet


@pytest.fixture
def frame(workshop):
    """The workshop's readings as pandas reads them, time still text."""
    return pd.read_csv(workshop.folder / "readings.csv")


@pytest.mark.parametrize(
    "times",
    [
        lambda frame: frame,
        lambda frame: frame.assign(time=pd.to_datetime(frame["time"])),
        lambda frame: frame.assign(
            time=pd.to_datetime(frame["time"]).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
        ),
        lambda frame: frame.assign(time=pd.to_datetime(frame["time"]).astype("datetime64[ms]")),
        lambda frame: frame.assign(time=pd.to_datetime(frame["time"]).astype("datetime64[s]").astype("int64")),
        lambda frame: frame.assign(time=pd.to_datetime(frame["time"])).set_index("time"),
    ],
    ids=["text", "datetime", "with an offset", "milliseconds", "seconds since 1970", "index"],
)
def test_parquet_equals_csv(workshop, frame, times, tmp_path):
    """The same readings in either format are the same table, however the time is stored; a missing value stays one."""
    frame.loc[3, "flow"] = None
    frame.to_csv(workshop.folder / "readings.csv", index=False)
    path = tmp_path / "readings.parquet"
    times(frame).to_parquet(path)
    expected = read_table(workshop.folder / "readings.csv", "time", None)
    table = read_parquet(path, "time", None)
    assert table.channels == expected.channels
    assert table.times.tobytes() == expected.times.tobytes()
    assert table.values.tobytes() == expected.values.tobytes()


def test_channels_are_chosen_and_ordered(frame, tmp_path):
    """The columns come in the order asked for; whole numbers become floats."""
    frame.assign(flow=range(len(frame))).to_parquet(tmp_path / "r.parquet")
    table = read_parquet(tmp_path / "r.parquet", "time", ["pressure", "flow"])
    assert table.channels == ("pressure", "flow")
    assert table.values[:, 1].tolist() == list(range(len(frame)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(flow="x"), "column 'flow': expected numbers"),
        (lambda f: f.assign(flow=f["flow"] > 0), "column 'flow': expected numbers, got bool"),
        (
            lambda f: f.assign(flow=[float("inf"), *f["flow"][1:]]),
            "row 1, column 'flow': expected a finite number, got inf",
        ),
        (lambda f: f.iloc[::-1], "row 2, column 'time': expected a time after"),
        (lambda f: f.iloc[[0, 0]], "row 2, column 'time': expected a time after"),
        (lambda f: f.assign(time=[None, *f["time"][1:]]), "row 1, column 'time': expected a time, got none"),
        (lambda f: f.assign(time=["soon", *f["time"][1:]]), "row 1, column 'time': expected a time such as"),
        (lambda f: f.rename(columns={"time": "when"}), "expected a time column 'time', got the columns when, flow"),
        (lambda f: f.drop(columns="flow"), "expected a channel 'flow', got the columns time, pressure"),
        (lambda f: f.assign(speed=1.0), "got one more: 'speed'"),
        (lambda f: f.iloc[:0], "expected rows of readings, got none"),
    ],
)
def test_fault_names_file_row_and_column(frame, tmp_path, change, message):
    """What is wrong in a Parquet file is one line that names the place."""
    path = tmp_path / "r.parquet"
    change(frame).to_parquet(path)
    with pytest.raises(TableError) as caught:
        read_parquet(path, "time", ["flow", "pressure"])
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_other_file_is_refused(workshop, tmp_path):
    """A missing file and one that is no Parquet are refused by name."""
    with pytest.raises(TableError, match="cannot be read: No such file"):
        read_parquet(tmp_path / "none.parquet", "time", None)
    with pytest.raises(TableError, match="expected a Parquet file"):
        read_parquet(workshop.folder / "readings.csv", "time", None)


def test_time_alone_is_refused(frame, tmp_path):
    """A file without any channel is refused."""
    frame[["time"]].to_parquet(tmp_path / "r.parquet")
    with pytest.raises(TableError, match="expected columns besides 'time', got none"):
        read_parquet(tmp_path / "r.parquet", "time", None)
