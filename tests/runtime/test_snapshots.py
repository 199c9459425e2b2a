"""Files of raw snapshots: an npz file and a folder give the same rows; what cannot be read names its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest

from edge_runtime.detector import Detector
from edge_runtime.engines import open_engine
from edge_runtime.errors import ReadingError, TableError
from edge_runtime.features import Features
from edge_runtime.manifest import Manifest, Sampling, Waveform
from edge_runtime.snapshots import read_snapshots
from edge_runtime.tables import holds_snapshots

WAVEFORM = Waveform(1000.0, 16, {"b1": "g", "b2": "g"}, features=("rms", "kurtosis"), bands=((100.0, 300.0),))
TIMES = ["2024-05-01T00:00:00", "2024-05-01T00:10:00", "2024-05-01T00:20:00"]
SAMPLES = np.random.default_rng(1).integers(-500, 500, (3, 16, 2)).astype(np.int16)


def archive(path: Path, **changes: Any) -> Path:
    """A good npz file with some arrays changed, or left out where None."""
    arrays = {"time": np.array(TIMES), "samples": SAMPLES, "scale": np.array(0.001), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def folder(path: Path, names: list[str] | None = None, separator: str = ",") -> Path:
    """A good folder: a file a snapshot, in g."""
    path.mkdir()
    names = names or [f"pump_{time.replace(':', '-')}.csv" for time in TIMES]
    for name, snapshot in zip(names, SAMPLES * 0.001, strict=True):
        lines = [separator.join(("b1", "b2")), *(separator.join(map(repr, row)) for row in snapshot.tolist())]
        (path / name).write_text("\n".join(lines) + "\n")
    return path


def detector() -> Detector:
    """One for windows of two rows of `WAVEFORM`'s features."""
    C = len(WAVEFORM.columns)
    m = handmade.manifest(2, C, channels=WAVEFORM.columns, waveform=WAVEFORM, sampling=Sampling(600, 1800))
    return Detector(m, open_engine("numpy", handmade.lstm_model(2, C), (2, C)))


def test_an_npz_file_and_a_folder_give_the_rows_of_the_features(tmp_path: Path) -> None:
    """In order of time; the scale makes units of whole numbers."""
    expected = [Features(WAVEFORM).step(snapshot * 0.001).tolist() for snapshot in SAMPLES]
    for path in (archive(tmp_path / "a.npz"), folder(tmp_path / "b")):
        assert holds_snapshots(path)
        table = read_snapshots(path, WAVEFORM)
        assert table.channels == (
            "rms_b1",
            "rms_b2",
            "kurtosis_b1",
            "kurtosis_b2",
            "band_100_300_b1",
            "band_100_300_b2",
        )
        assert table.datetimes.tolist() == np.array(TIMES, "datetime64[us]").tolist()
        assert table.values.tolist() == expected


@pytest.mark.parametrize(
    "time",
    [
        np.array(TIMES, "datetime64[s]"),
        np.array(["2024-05-01T02:00:00+02:00", "2024-05-01 00:10", "20240501T002000Z"]),
        np.array(TIMES, "datetime64[s]").astype(np.int64),
        np.array(TIMES, "datetime64[s]").astype(np.float64),
    ],
)
def test_times_of_an_npz_file(tmp_path: Path, time: Any) -> None:
    """ISO 8601 with or without an offset, datetime64, and seconds since 1970."""
    table = read_snapshots(archive(tmp_path / "a.npz", time=time), WAVEFORM)
    assert table.datetimes.tolist() == np.array(TIMES, "datetime64[us]").tolist()


@pytest.mark.parametrize(
    "form", ["{}-{}-{}T{}-{}-{}", "{}.{}.{}.{}.{}.{}", "{}{}{}{}{}{}", "shaft 7 {}_{}_{} {}_{}_{}"]
)
def test_times_in_the_names_of_files(tmp_path: Path, form: str) -> None:
    """The separators do not matter, nor does what stands before the time; files are taken in order of time."""
    parts = [("2024", "05", "01", "00", minute, "00") for minute in ("00", "10", "20")]
    names = [f"{form.format(*each)}.csv" for each in parts]
    table = read_snapshots(folder(tmp_path / "b", names, separator=";"), WAVEFORM)
    assert table.datetimes.tolist() == np.array(TIMES, "datetime64[us]").tolist()


def test_a_folder_s_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    """They go by their names; `nan` is a missing sample, and what is no CSV file is not looked at."""
    path = folder(tmp_path / "b")
    (path / "notes.txt").write_text("not a snapshot")
    expected = read_snapshots(path, WAVEFORM).values
    first = min(path.glob("*.csv"))
    rows = [f"{b2!r},{b1!r}" for b1, b2 in (SAMPLES[0] * 0.001).tolist()]
    first.write_text("\n".join(["b2,b1", *rows]))
    assert read_snapshots(path, WAVEFORM).values.tolist() == expected.tolist()
    first.write_text("\n".join(["b2,b1", *rows[:-1], "0.5,nan"]))
    assert np.isnan(read_snapshots(path, WAVEFORM).values[0]).tolist() == [True, False] * 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": None}, "expected the arrays time and samples, got time, scale"),
        ({"samples": SAMPLES[:, :15]}, r"snapshot 1: expected samples \(16, 2\): 16 of each of b1, b2, got \(15, 2\)"),
        ({"samples": SAMPLES[:, :, :1]}, r"snapshot 1: expected samples \(16, 2\).*, got \(16, 1\)"),
        ({"samples": SAMPLES[0]}, r"expected samples \(n, N, C\) as numbers, got int16 \(16, 2\)"),
        ({"samples": SAMPLES.astype(str)}, r"expected samples \(n, N, C\) as numbers, got <U6"),
        ({"samples": np.array([[1], [1, 2]], object)}, "expected an npz file of numbers and text, got: Object arrays"),
        ({"samples": SAMPLES[:0], "time": np.array([], str)}, "expected snapshots, got none"),
        ({"time": np.array(TIMES[:2])}, r"expected 3 times, one for each snapshot, got \(2,\)"),
        ({"time": np.array(["x", *TIMES[1:]])}, "snapshot 1: expected a time such as 2004-02-12T10:32:39 .* got 'x'"),
        ({"time": np.array([0.0, np.nan, 1.0])}, "snapshot 2: expected a time .* got nan"),
        ({"time": np.array([TIMES[0], TIMES[0], TIMES[1]])}, "snapshot 2: expected a time after 2024-05-01T00:00:00"),
        ({"scale": np.ones(3)}, r"expected scale \(\) or \(1,\) or \(2,\) as numbers, got float64 \(3,\)"),
        ({"scale": np.array("x")}, r"expected scale .* as numbers, got <U1 \(\)"),
        ({"sample_rate_hz": np.array(2000.0)}, "snapshot 1: expected samples at 1000 Hz, got 2000 Hz"),
        ({"sample_rate_hz": np.ones(2)}, r"expected sample_rate_hz \(\) or \(1,\) as numbers, got float64 \(2,\)"),
    ],
)
def test_an_npz_file_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    """With the file, the snapshot where there is one, what was expected and what was given."""
    path = tmp_path / "a.npz"
    arrays = {"time": np.array(TIMES), "samples": SAMPLES, "scale": np.array(0.001), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(TableError, match=rf"a\.npz: {message}"):
        read_snapshots(path, WAVEFORM)


def test_a_file_that_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    """Text, a cut file, and none."""
    path = archive(tmp_path / "a.npz")
    whole = path.read_bytes()
    for content in (b"time,b1\n", whole[: len(whole) // 2], b""):
        path.write_bytes(content)
        with pytest.raises(TableError, match=r"a\.npz: expected an npz file of numbers and text, got"):
            read_snapshots(path, WAVEFORM)
    with pytest.raises(TableError, match=r"none\.npz: cannot be read: No such file"):
        read_snapshots(tmp_path / "none.npz", WAVEFORM)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("b1,b2\n" + "0,0\n" * 15, r"expected samples \(16, 2\): 16 of each of b1, b2, got \(15, 2\)"),
        ("b1,b2\n", "expected 16 samples below the column names, got none"),
        ("", "expected the columns b1, b2, got none"),
        ("b1\n" + "0\n" * 16, "expected the columns b1, b2, got b1"),
        ("b1,b3\n" + "0,0\n" * 16, "expected the columns b1, b2, got b1, b3"),
        (
            "b1,b2\n" + "0,0\n" * 15 + "0,x\n",
            "expected a number in every cell below the column names: could not convert",
        ),
        ("b1,b2\n" + "0,0\n" * 15 + "0\n", "expected a number in every cell below the column names: .*columns changed"),
        ("b1,b2\n" + "0,0\n" * 15 + "0,\n", "expected a number in every cell below the column names"),
        (b"b1,b2\n\xff", "expected a number in every cell below the column names: .* 0xff"),
    ],
)
def test_a_snapshot_s_file_that_does_not_fit_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    """By name; the others are as they should be."""
    path = folder(tmp_path / "b")
    file = sorted(path.glob("*.csv"))[1]
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TableError, match=rf"{file.name}: {message}"):
        read_snapshots(path, WAVEFORM)


@pytest.mark.parametrize("name", ["first.csv", "2024-13-01T00-00-00.csv", "12024-01-01T00-00-00.csv", "2024-01-01.csv"])
def test_a_file_without_a_time_in_its_name_is_refused(tmp_path: Path, name: str) -> None:
    """The message shows how it should look."""
    path = folder(tmp_path / "b")
    (path / name).write_text("b1,b2\n")
    with pytest.raises(TableError, match=rf"{name}: expected a name that ends in a time, such as 2004-02-12T10-32-39"):
        read_snapshots(path, WAVEFORM)


def test_an_empty_folder_and_two_files_of_one_time_are_refused(tmp_path: Path) -> None:
    """And snapshots where no waveform is known."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="empty: expected snapshots, got none"):
        read_snapshots(tmp_path / "empty", WAVEFORM)
    path = folder(tmp_path / "b")
    (path / "2024.05.01.00.00.00.csv").write_bytes(min(path.glob("*.csv")).read_bytes())
    with pytest.raises(
        TableError, match=r"csv: expected a time after 2024-05-01T00:00:00\+00:00, got 2024-05-01T00:00:00"
    ):
        read_snapshots(path, WAVEFORM)
    with pytest.raises(
        TableError, match="b: expected a table of readings, got snapshots, but no waveform is described"
    ):
        read_snapshots(path, None)


def test_the_detector_takes_snapshots_as_it_takes_their_features(tmp_path: Path) -> None:
    """Snapshot by snapshot, row by row and as a table: the same verdicts."""
    table = read_snapshots(archive(tmp_path / "a.npz"), WAVEFORM)
    as_table = list(detector().score(table.values, table.datetimes))
    live = detector()
    one_by_one = [
        live.update_snapshot(time, snapshot * 0.001, sample_rate_hz=1000)
        for time, snapshot in zip(table.datetimes, SAMPLES, strict=True)
    ]
    assert [verdict.status for verdict in one_by_one] == ["warming_up", "scored", "scored"]
    for one, other in zip(one_by_one, as_table, strict=True):
        assert one._replace(score=None, contributions=None) == other._replace(score=None, contributions=None)
        if other.score is not None:
            assert one.score == pytest.approx(other.score, rel=1e-6)
    silent = live.update_snapshot(table.datetimes[-1] + np.timedelta64(1, "s"), np.zeros((16, 2)))
    assert silent.status == "scored"  # the last kurtosis is held for as long as the cleaning allows
    infinite = np.where(np.arange(16)[:, None] == 3, np.inf, SAMPLES[0])
    assert live.update_snapshot(table.datetimes[-1] + np.timedelta64(2, "s"), infinite).status == "out_of_range"


def test_the_detector_refuses_snapshots_that_do_not_fit() -> None:
    """Another length or rate, and any where the bundle knows no waveform."""
    live = detector()
    with pytest.raises(ReadingError, match=r"expected samples \(16, 2\)"):
        live.update_snapshot(0.0, SAMPLES[0][:15])
    with pytest.raises(ReadingError, match="expected samples at 1000 Hz, got 10 Hz"):
        live.update_snapshot(0.0, SAMPLES[0], sample_rate_hz=10.0)
    with pytest.raises(ReadingError, match="expected a machine from 0 to 0, got 1"):
        live.update_snapshot(0.0, SAMPLES[0], 1)
    plain = Detector(handmade.manifest(4, 2), open_engine("numpy", handmade.lstm_model(4, 2), (4, 2)))
    with pytest.raises(ReadingError, match="expected readings of c0, c1, got a snapshot: it knows no waveform"):
        plain.update_snapshot(0.0, SAMPLES[0])


def test_a_manifest_s_channels_are_its_waveform_s() -> None:
    """Limits may be added, but neither names nor their order changed."""
    with pytest.raises(ValueError, match=r"expected the waveform's features as channels, got \['c0', 'c1'\]"):
        handmade.manifest(4, 2, waveform=WAVEFORM)
    m: Manifest = detector().manifest
    assert m.channel_names[0] == "rms_b1"


IMS_CHANNELS = dict.fromkeys(("b1", "b2", "b3", "b4"), "g")


@pytest.mark.skipif("ANOMALITE_DATA" not in os.environ, reason="ANOMALITE_DATA is not set: no real snapshots to read")
def test_real_snapshots_have_the_features_known_of_them(tmp_path: Path) -> None:
    """A tenth of a second of each of the bearing's snapshots, against the figures of the whole second."""
    data = Path(os.environ["ANOMALITE_DATA"]) / "ims_test2"
    with np.load(data / "raw_first2048_int16_milli.npz") as raw:
        times = [str(time) for time in raw["files"]]
        samples = raw["x"]
    fields = [time.replace("-", ".").replace(":", ".").replace(" ", ".").split(".") for time in times]
    times = ["{}-{}-{}T{}:{}:{}".format(*each[:6]) for each in fields]
    np.savez(tmp_path / "ims.npz", time=np.array(times), samples=samples, scale=np.array(0.001))
    waveform = Waveform(20_000.0, 2048, IMS_CHANNELS, features=("mean_abs", "rms", "kurtosis"))
    table = read_snapshots(tmp_path / "ims.npz", waveform)

    with (data / "features.csv").open() as file:
        header = file.readline().strip().split(",")
        known = {line.split(",")[0]: [float(cell) for cell in line.split(",")[1:]] for line in file}
    expected = np.array([known[str(time).replace("T", " ")] for time in table.datetimes.astype("datetime64[s]")])
    for channel, column in zip(table.channels, table.values.T, strict=True):
        whole = expected[:, header.index(channel) - 1]
        if channel.startswith("kurtosis"):
            assert abs(np.median(column - whole)) < 0.5, channel
        else:
            ratio = column[:-2] / whole[:-2]  # the machine is off in the last two
            assert abs(np.median(ratio) - 1) < 0.03, channel
            assert np.quantile(np.abs(ratio - 1), 0.95) < 0.2, channel
            assert np.corrcoef(column, whole)[0, 1] > 0.9, channel
