"""CSV and JSON lines: what is read, and how everything that cannot be is refused with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.errors import TableError
from edge_runtime.tables import Table, check_not_all_missing, column_names, read_stream, read_table

CHANNELS = ("a", "b")
PLAIN = "time,a,b\n2004-02-12T10:32:39,1,2\n2004-02-12T10:42:39,3,4\n"
TIMES = [datetime(2004, 2, 12, 10, minute, 39, tzinfo=UTC) for minute in (32, 42)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "readings.csv"


def read(file: Path, content: str | bytes, channels: Any = CHANNELS, **options: Any) -> Table:
    """Write and read."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(file, "time", channels, **options)


def refusal(file: Path, content: str | bytes, channels: Any = CHANNELS, **options: Any) -> str:
    """The message of the error, without the file's name, which it must begin with."""
    with pytest.raises(TableError) as caught:
        read(file, content, channels, **options)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


def assert_plain(table: Table) -> None:
    """The table is `PLAIN`."""
    assert table.channels == CHANNELS
    assert table.values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert table.values.dtype == np.float64
    assert table.times.tolist() == [round(time.timestamp() * 1e6) for time in TIMES]
    assert table.datetimes.astype("datetime64[s]").astype(str).tolist() == [
        "2004-02-12T10:32:39",
        "2004-02-12T10:42:39",
    ]


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.removesuffix("\n"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "\ufeff" + PLAIN,
        "\n\n" + PLAIN.replace("\n", "\n\n") + "\n",
        "  \n" + PLAIN.replace("\n", "\n   \n"),
        'time,"a","b"\n"2004-02-12T10:32:39","1",2\n2004-02-12T10:42:39,3,"4"\n',
        "b,time,a\n2,2004-02-12T10:32:39,1\n4,2004-02-12T10:42:39,3\n",
        " time , a , b \n 2004-02-12T10:32:39 , 1 , 2.0 \n2004-02-12T10:42:39,+3,.4e1\n",
        "time,a,b\n2004-02-12T10:32:39Z,1,2\n2004-02-12 10:42:39+00:00,3,4\n",
        "time,a,b\n2004-02-12T11:32:39+01:00,1,2\n2004-02-12T05:42:39-05:00,3,4\n",
        "time,a,b\n1076581959,1,2\n1076582559.0,3,4\n",
        '{"time": "2004-02-12T10:32:39", "a": 1, "b": 2}\n{"b": 4.0, "a": "3", "time": 1076582559}\n',
        '\ufeff\n{"time": 1076581959.0, "a": 1, "b": 2}\n\n  \n{"time": "1076582559", "a": 3, "b": 4}',
    ],
    ids=[
        "plain", "no newline at the end", "semicolons", "tabs", "CRLF", "CR", "byte order mark", "blank lines",
        "lines of spaces", "quoted", "other order", "spaces", "UTC", "offsets", "seconds since 1970", "JSON", "JSON, odd",
    ],
)  # fmt: skip
def test_forms_that_mean_the_same(file: Path, content: str) -> None:
    """Separators, quotes, line ends, marks, blank lines, order of columns and notations of time make no difference."""
    assert_plain(read(file, content))


def test_naive_times_are_utc_wherever_the_machine_is(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The local time zone does not matter."""
    monkeypatch.setenv("TZ", "America/New_York")
    assert_plain(read(file, PLAIN))


def test_fractions_of_a_second_are_kept(file: Path) -> None:
    """To the microsecond."""
    table = read(file, "time,a,b\n2004-02-12T10:32:39.000001,1,2\n1076581959.5,1,2\n")
    assert (table.times - round(TIMES[0].timestamp()) * 1_000_000).tolist() == [1, 500_000]


@pytest.mark.parametrize("word", ["", " ", "nan", "NaN", "-nan", "NA", "n/a", "null", "NULL", "None"])
def test_missing_values(file: Path, word: str) -> None:
    """Each of these cells is a missing value: NaN."""
    assert read(file, f"time,a,b\n0,{word},2\n1,1,{word}\n").values.tolist() == [
        [pytest.approx(math.nan, nan_ok=True), 2.0],
        [1.0, pytest.approx(math.nan, nan_ok=True)],
    ]


def test_missing_values_in_json(file: Path) -> None:
    """null, NaN and the words."""
    lines = [{"time": row, "a": value, "b": 1} for row, value in enumerate([None, math.nan, "", "NA"])]
    table = read(file, "\n".join(map(json.dumps, lines)))
    assert np.isnan(table.values[:, 0]).all()
    assert (table.values[:, 1] == 1).all()


def test_all_columns_but_the_time_are_channels_if_none_are_named(file: Path) -> None:
    """In the file's order."""
    table = read(file, "b,time,a\n1,0,2\n", None)
    assert (table.channels, table.values.tolist()) == (("b", "a"), [[1.0, 2.0]])
    table = read(file, '{"b": 1, "time": 0, "a": 2}\n', None)
    assert (table.channels, table.values.tolist()) == (("b", "a"), [[1.0, 2.0]])


def test_extra_columns_are_left_out_only_if_asked(file: Path) -> None:
    """`ignore_extra` takes the wanted channels and nothing else; what the others hold does not matter."""
    table = read(file, "time,a,note,b\n0,1,hello,2\n", ignore_extra=True)
    assert (table.channels, table.values.tolist()) == (CHANNELS, [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a line of column names, got an empty file"),
        ("\n\n \n", "expected a line of column names, got an empty file"),
        ("\ufeff", "expected a line of column names, got an empty file"),
        ("time,a,b\n", "expected rows of readings, got none below the column names"),
        ("time,a,b\n\n\n", "expected rows of readings, got none below the column names"),
        ("time,a\n0,1\n", "row 1: expected a channel 'b', got the columns time, a"),
        ("\n\ntime,a\n0,1\n", "row 3: expected a channel 'b', got the columns time, a"),
        ("time,a,b,c\n0,1,2,3\n", "row 1: expected the channels a, b, got one more: 'c'"),
        ("time,a,b,a\n0,1,2,3\n", "row 1: expected each column once, got 'a' twice"),
        ("when,a,b\n0,1,2\n", "row 1: expected a time column 'time', got the columns when, a, b"),
        ("time,time,a,b\n0,1,2,3\n", "row 1: expected each column once, got 'time' twice"),
        ("0,1,2\n1,1,2\n", "row 1: expected a time column 'time', got the columns 0, 1, 2"),
        ("time,a,b\n0,1,2\n1,1,off\n", "row 3, column 'b': expected a number, got 'off'"),
        ("time,a,b\n\n0,1,2\n\n1,x,2\n", "row 5, column 'a': expected a number, got 'x'"),
        ("time,a,b\r\n0,1,2\r\n1,x,2\r\n", "row 3, column 'a': expected a number, got 'x'"),
        ("time;a;b\n0;1,5;2\n", "row 2, column 'a': expected a number, got '1,5'"),
        ("time,a,b\n0,1_000,2\n", "row 2, column 'a': expected a number, got '1_000'"),
        ("time,a,b\n0,0x10,2\n", "row 2, column 'a': expected a number, got '0x10'"),
        ("time,a,b\n0,1,2\n1,inf,2\n", "row 3, column 'a': expected a finite number, got 'inf'"),
        ("time,a,b\n0,1,-Infinity\n", "row 2, column 'b': expected a finite number, got '-Infinity'"),
        ("time,a,b\n0,1,1e999\n", "row 2, column 'b': expected a finite number, got '1e999'"),
        ("time,a,b\n0,1\n", "row 2: expected 3 cells, got 2"),
        ("time,a,b\n0,1,2,3\n", "row 2: expected 3 cells, got 4"),
        ("time,a,b\n0,1,2\n1,1,2\n2\n", "row 4: expected 3 cells, got 1"),
        ("time,a,b\n5,1,2\n4,1,2\n", "row 3, column 'time': expected a time after 1970-01-01T00:00:05+00:00, got '4'"),
        (
            "time,a,b\n5,1,2\n6,1,2\n6,1,2\n",
            "row 4, column 'time': expected a time after 1970-01-01T00:00:06+00:00, got the same time again",
        ),
        (
            "time,a,b\n2004-02-12T10:00:00+01:00,1,2\n2004-02-12T09:00:00Z,1,2\n",
            "row 3, column 'time': expected a time after 2004-02-12T09:00:00+00:00, got the same time again",
        ),
    ],
)
def test_bad_csv(file: Path, content: str, message: str) -> None:
    """The message names row (the line a person sees in an editor), column, expected and got."""
    assert refusal(file, content) == message


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "yesterday",
        "nan",
        "inf",
        "12:30",
        "2004-02-30",
        "2004-13-01T00:00:00",
        "12.02.2004 10:00",
        "1e30",
        "-62135596801",
        "1_0",
    ],
)
def test_bad_times(file: Path, cell: str) -> None:
    """What is neither ISO 8601 nor seconds since 1970 in a calendar's years."""
    message = refusal(file, f"time,a,b\n{cell},1,2\n")
    assert (
        message
        == f"row 2, column 'time': expected a time such as 2004-02-12T10:32:39 or seconds since 1970, got {cell!r}"
    )


@pytest.mark.parametrize("cell", [True, None, [], {}, 1e30, 10**400, math.nan])
def test_bad_times_in_json(file: Path, cell: Any) -> None:
    """The same in JSON, where anything may stand."""
    message = refusal(file, json.dumps({"time": cell, "a": 1, "b": 2}))
    assert message.startswith("row 1, column 'time': expected a time such as")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"time": 0, "a": 1}', "row 1: expected a channel 'b', got the columns time, a"),
        ('{"a": 1, "b": 2}', "row 1: expected a time column 'time', got the columns a, b"),
        ('{"time": 0, "a": 1, "b": 2}\n{"time": 1, "a": 1}', "row 2: expected a channel 'b', got the columns time, a"),
        ('{"time": 0, "a": 1, "b": 2, "c": 3}', "row 1: expected the channels a, b, got one more: 'c'"),
        ('{"time": 0, "a": 1, "b": 2, "a": 3}', "row 1: expected each column once, got 'a' twice"),
        ('{"time": 0, "a": true, "b": 2}', "row 1, column 'a': expected a number, got True"),
        ('{"time": 0, "a": [1], "b": 2}', "row 1, column 'a': expected a number, got [1]"),
        ('{"time": 0, "a": "on", "b": 2}', "row 1, column 'a': expected a number, got 'on'"),
        ('{"time": 0, "a": Infinity, "b": 2}', "row 1, column 'a': expected a finite number, got inf"),
        ('{"time": 0, "a": 1e999, "b": 2}', "row 1, column 'a': expected a finite number, got inf"),
        ('{"time": 0, "a": 1, "b": 2}\n\n[1, 2]', "row 3: expected a JSON object, got '[1, 2]'"),
    ],
)
def test_bad_json(file: Path, content: str, message: str) -> None:
    """Each line is checked for its keys and its values."""
    assert refusal(file, content) == message


@pytest.mark.parametrize(
    "line", ["{", '{"time": 0,', "time,a,b", "{" * 20_000 + "}" * 20_000, '{"a": ' + "[" * 100_000]
)
def test_lines_that_are_no_json(file: Path, line: str) -> None:
    """Cut off, another format, nested without end: named with its row."""
    message = refusal(file, '{"time": 0, "a": 1, "b": 2}\n' + line)
    assert message.startswith("row 2: expected a JSON object, got ")


def test_a_number_larger_than_any_float_is_infinite(file: Path) -> None:
    """JSON's whole numbers have no limit; floats do."""
    message = refusal(file, f'{{"time": 0, "a": 1{"0" * 400}, "b": 2}}')
    assert message.startswith("row 1, column 'a': expected a finite number, got 1000")


def test_a_quote_that_never_ends(file: Path) -> None:
    """An error in its own row, however long the file is after it."""
    for rest in ("", "1,1,1\n", "1,1,1\n" * 40_000):
        assert refusal(file, 'time,a,b\n0,1,"2\n' + rest).startswith("row 2: expected CSV, got: unexpected end of data")
    assert refusal(file, "time,a," + "b" * 200_000 + "\n0,1,2\n").startswith("row 1: ")


def test_a_time_column_alone_has_nothing_to_score(file: Path) -> None:
    """Where all columns are channels there must be one."""
    assert refusal(file, "time\n0\n1\n", None) == "row 1: expected at least one channel, got the columns time"
    assert refusal(file, '{"time": 0}', None) == "row 1: expected at least one channel, got the columns time"


def test_a_missing_file(tmp_path: Path) -> None:
    """Named with the system's reason."""
    with pytest.raises(TableError, match=r"none\.csv: cannot be read: No such file or directory"):
        read_table(tmp_path / "none.csv", "time", CHANNELS)
    with pytest.raises(TableError, match="cannot be read: Is a directory"):
        read_table(tmp_path, "time", CHANNELS)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_than_utf8(file: Path, encoding: str) -> None:
    """Named with the first byte that does not belong."""
    byte = {"latin-1": "0xdf", "utf-16": "0xff"}[encoding]
    assert refusal(file, "time,Größe\n0,1\n".encode(encoding), ["Größe"]).startswith(
        f"expected UTF-8 text, got the byte {byte}".replace("0xdf", "0xf6")
    )


def test_all_readings_missing(file: Path) -> None:
    """A channel without a single value is named; one value is enough."""
    check_not_all_missing(read(file, "time,a,b\n0,1,\n1,,2\n"))
    with pytest.raises(
        TableError, match=rf"{file.name}: expected readings for b, got none: all 2 rows are missing the value"
    ):
        check_not_all_missing(read(file, "time,a,b\n0,1,\n1,2,NA\n"))
    with pytest.raises(TableError, match=r"expected readings for any channel, got none: all 2 rows"):
        check_not_all_missing(read(file, "time,a,b\n0,,nan\n1,,NA\n"))


numbers = st.one_of(st.just(math.nan), st.floats(allow_infinity=False, allow_nan=False))


@given(
    names=st.lists(
        st.text("abcäß µ_-#.°", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=4, unique=True
    ),
    separator=st.sampled_from(",;\t"),
    data=st.data(),
)
def test_what_was_written_is_read(tmp_path_factory: Any, names: list[str], separator: str, data: st.DataObject) -> None:
    """Any names, numbers and rising times come back as they were, from CSV and from JSON lines."""
    rows = data.draw(st.lists(st.lists(numbers, min_size=len(names), max_size=len(names)), min_size=1, max_size=5))
    steps = data.draw(st.lists(st.integers(1, 10**12), min_size=len(rows), max_size=len(rows)))
    times = [TIMES[0] + timedelta(microseconds=sum(steps[: row + 1])) for row in range(len(rows))]
    file = tmp_path_factory.mktemp("tables") / "table"
    cells = [
        [time.isoformat(), *("" if math.isnan(number) else repr(number) for number in row)]
        for time, row in zip(times, rows, strict=True)
    ]
    objects = [
        dict(zip(["time", *names], [time.isoformat(), *row], strict=True))
        for time, row in zip(times, rows, strict=True)
    ]
    for content in (
        "\n".join(separator.join(line) for line in [["time", *names], *cells]),
        "\n".join(map(json.dumps, objects)),
    ):
        table = read(file, content, names)
        assert table.channels == tuple(names)
        assert np.array_equal(table.values, np.array(rows), equal_nan=True)
        assert table.times.tolist() == [
            round((time - TIMES[0]) / timedelta(microseconds=1)) + 1076581959 * 10**6 for time in times
        ]


def test_a_stream_is_read_line_by_line() -> None:
    """Each reading is there before the next line is asked for."""
    given: list[str] = []

    def lines() -> Iterator[str]:
        for line in PLAIN.splitlines(keepends=True):
            given.append(line)
            yield line

    readings = read_stream(lines(), "standard input", "time", CHANNELS)
    for row in range(2):
        reading = next(readings)
        assert (reading.time, list(reading.values), reading.machine) == (TIMES[row], [2 * row + 1.0, 2 * row + 2.0], 0)
        assert len(given) == row + 2
    assert next(readings, None) is None


def test_a_stream_may_begin_with_a_byte_order_mark() -> None:
    """As a file may: spreadsheets write one."""
    assert len(list(read_stream(iter(("\ufeff" + PLAIN).splitlines()), "standard input", "time", CHANNELS))) == 2


def test_a_stream_names_its_rows() -> None:
    """Readings before a bad row are answered, then the row is named."""
    readings = read_stream(iter(["time,a,b\n", "0,1,2\n", "1,1,x\n"]), "standard input", "time", CHANNELS)
    assert list(next(readings).values) == [1.0, 2.0]
    with pytest.raises(TableError, match="standard input: row 3, column 'b': expected a number, got 'x'"):
        next(readings)


@pytest.mark.parametrize("ending", ["", ' and its end"'])
def test_an_open_quote_swallows_no_readings(ending: str, tmp_path: Path) -> None:
    """It is an error in its own row, also in a column that is ignored, and whether or not another quote follows."""
    rows = [f"2024-01-01T00:00:{second:02},{second},fine" for second in range(30)]
    rows[3] = '2024-01-01T00:00:03,3,"open'
    rows[20] += ending
    path = tmp_path / "notes.csv"
    path.write_text("\n".join(["time,a,note", *rows]) + "\n")
    with pytest.raises(TableError, match=r"notes\.csv: row 5: expected CSV"):
        read_table(path, "time", ["a"], ignore_extra=True)


LABELLED = """\
time;a;b;anomaly;note
2004-02-12T10:32:39;1;2;0;x
2004-02-12T10:42:39;3;4;1.0;x
2004-02-12T10:52:39;5;6; TRUE ;x
2004-02-12T11:02:39;7;;false;x
"""


@pytest.mark.parametrize("channels", [CHANNELS, ("b", "a"), ("a",)])
def test_labels_come_beside_the_channels(file: Path, channels: tuple[str, ...]) -> None:
    """0, 1, true and false in any case, wherever the column is; the channels are as without labels."""
    table = read(file, LABELLED, channels, ignore_extra=True, label="anomaly")
    assert table.labels is not None
    assert table.labels.tolist() == [False, True, True, False]
    plain = read(file, LABELLED, channels, ignore_extra=True)
    assert plain.labels is None
    assert table.channels == plain.channels == channels
    np.testing.assert_array_equal(table.values, plain.values)


def test_labels_are_no_channel_if_none_are_named(file: Path) -> None:
    """All columns but the time and the labels; and JSON has true and false of its own."""
    content = "\n".join(json.dumps({"time": t, "anomaly": t > 2, "a": t}) for t in (1, 2, 3))
    table = read(file, content, None, label="anomaly")
    assert table.channels == ("a",)
    assert table.labels is not None
    assert table.labels.tolist() == [False, False, True]


@pytest.mark.parametrize("cell", ["", "2", "-1", "yes", "nan", "0.5", "01"])
def test_bad_labels(file: Path, cell: str) -> None:
    """A label that is missing or neither of the two is named with its place."""
    content = f"time,a,b,anomaly\n2004-02-12T10:32:39,1,2,{cell}\n"
    message = refusal(file, content, label="anomaly")
    assert message == f"row 2, column 'anomaly': expected a label 0, 1, true or false, got {cell!r}"


def test_a_missing_column_of_labels(file: Path) -> None:
    """Is called what it is."""
    assert "expected a column of labels 'fault', got the columns time, a, b" in refusal(file, PLAIN, label="fault")


def test_column_names(file: Path) -> None:
    """From the first line, of either kind; nothing if it cannot be read as one, which reading the table then explains."""
    for content, expected in (
        ("\ufeff\n time ;a;b\n", ("time", "a", "b")),
        ('{"time": 1, "a": 2}\n', ("time", "a")),
        ("", ()),
        ('{"time"\n', ()),
        (b"\xff\xfe", ()),
    ):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert column_names(file) == expected
    with pytest.raises(TableError, match="cannot be read"):
        column_names(file.parent / "none.csv")


def test_times_in_any_order_where_asked(tmp_path: Path) -> None:
    """For whoever has a policy for late and repeated readings: rows stay in order of arrival, in tables and streams."""
    path = tmp_path / "x.csv"
    path.write_text("time,a\n5,1\n4,2\n5,3\n")
    table = read_table(path, "time", None, any_order=True)
    assert table.times.tolist() == [5_000_000, 4_000_000, 5_000_000]
    assert table.values.tolist() == [[1.0], [2.0], [3.0]]
    readings = list(read_stream(path.read_text().splitlines(), "x", "time", ("a",), any_order=True))
    assert [reading.values for reading in readings] == [[1.0], [2.0], [3.0]]
    with pytest.raises(TableError, match="row 3, column 'time': expected a time after"):
        read_table(path, "time", None)
