"""Lines of a file that is written, rotated, truncated and found again, and of standard input."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.gateway.inbox import Inbox
from edge_runtime.gateway.lines import Lines, Position
from edge_runtime.gateway.message import Message

PATIENCE_S = 30.0


class Reader:
    """A source, and the thread that takes from it."""

    def __init__(self, path: Path | str, *, limit: int = 20_000, **options: Any) -> None:
        self.log: list[str] = []
        self.inbox = Inbox(limit=limit)
        self.taken: list[Message] = []
        self.lines = Lines(
            str(path), self.inbox, lambda name, **fields: self.log.append(name), poll_s=0.01, linger_s=0.1, **options
        )

    def start(self, position: Position | None = None) -> Reader:
        self.lines.start(position)
        return self

    def take(self, count: int) -> list[bytes]:
        """So many lines, acknowledged."""
        before = len(self.taken)
        end = time.monotonic() + PATIENCE_S
        while len(self.taken) < before + count and time.monotonic() < end:
            messages = self.inbox.take(0.2, 0.0)
            self.taken += messages
            self.lines.acknowledge(messages)
        return [message.payload for message in self.taken[before:]]

    def until(self, condition: Callable[[], Any]) -> None:
        """While nothing is taken."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, f"{self.log}, {self.lines.problem}"
            time.sleep(0.002)  # the condition is of the reading thread


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Not there yet."""
    return tmp_path / "readings.jsonl"


@pytest.fixture
def reader(file: Path) -> Iterator[Reader]:
    """Of that file, not started."""
    reader = Reader(file, line_limit=1000)
    yield reader
    reader.lines.stop()


def append(file: Path, data: bytes) -> None:
    """As a program that writes does."""
    with file.open("ab") as out:
        out.write(data)


def test_a_file_is_waited_for_and_followed(file: Path, reader: Reader) -> None:
    """Every line once it has its end, without it."""
    reader.start()
    reader.until(lambda: reader.lines.problem)
    assert reader.lines.problem == f"{file}: No such file or directory"
    append(file, b'{"a": 1}\n{"a"')
    assert reader.take(1) == [b'{"a": 1}']
    assert reader.lines.problem is None
    append(file, b": 2}")
    append(file, b"\r\n\n\r\nx\n")
    assert reader.take(2) == [b'{"a": 2}', b"x"]
    assert [message.topic for message in reader.taken] == [str(file)] * 3


def test_reading_goes_on_after_the_last_acknowledged_line(file: Path) -> None:
    """In the next process, whatever was written meanwhile."""
    lines = [b"line %d" % number for number in range(100)]
    append(file, b"".join(line + b"\n" for line in lines[:60]))
    first = Reader(file).start()
    assert first.take(60) == lines[:60]
    first.lines.stop()
    position = first.taken[41].token
    append(file, b"".join(line + b"\n" for line in lines[60:]))
    second = Reader(file).start(Position.from_text(position.to_text()))
    assert second.take(58) == lines[42:]
    second.lines.stop()


def test_a_file_that_is_renamed_is_read_to_its_end_before_the_next(file: Path, reader: Reader) -> None:
    """Also what is written to it after that, by who does not know yet, and a last line without an end."""
    append(file, b"0\n1\n")
    reader.start()
    assert reader.take(2) == [b"0", b"1"]
    with file.open("ab") as old:
        file.rename(file.with_suffix(".jsonl.1"))
        append(file, b"5\n")
        old.write(b"2\n")
        old.flush()
        assert reader.take(1) == [b"2"]
        old.write(b"3\n4")
    assert reader.take(3) == [b"3", b"4", b"5"]
    append(file, b"6\n")
    assert reader.take(1) == [b"6"]


def test_a_file_that_was_renamed_while_nobody_read_is_found(file: Path, reader: Reader) -> None:
    """The rest of it comes before the new one."""
    append(file, b"0\n1\n2\n")
    first = Reader(file).start()
    first.take(3)
    first.lines.stop()
    append(file, b"3\n")
    file.rename(file.with_name("readings.jsonl.1"))
    append(file, b"4\n")
    reader.start(first.taken[1].token)
    assert reader.take(3) == [b"2", b"3", b"4"]


def test_a_truncated_file_is_read_from_its_beginning(file: Path, reader: Reader) -> None:
    """Also where it has grown beyond the old place before anyone looked: its beginning is another."""
    append(file, b"first line\nsecond line\nthi")
    reader.start()
    assert reader.take(2) == [b"first line", b"second line"]
    with file.open("r+b") as out:
        out.truncate(0)
        reader.until(lambda: "lines_truncated" in reader.log)
        out.write(b"a\n")
    assert reader.take(1) == [b"a"]
    other = b"another beginning, and longer than all that was there before\nand more\n"
    with file.open("r+b") as out:
        out.write(other)  # over the old one, in one call
    assert reader.take(2) == other.splitlines()


def test_another_file_of_the_same_name_is_read_from_its_beginning(file: Path, reader: Reader) -> None:
    """Even with the same inode, which file systems give to the next file."""
    append(file, b"one\ntwo\n")
    position = Position(file.stat().st_ino, 4, 12345)
    reader.start(position)
    assert reader.take(2) == [b"one", b"two"]
    assert reader.log == ["lines_restarted"]


def test_long_lines_are_refused_and_not_held(file: Path, reader: Reader) -> None:
    """Counted, and the next line is read."""
    append(file, b"x" * 1000 + b"\r\n" + b"y" * 1001 + b"\n" + b"z" * 3_000_000 + b"\nnext\n")
    reader.start()
    assert reader.take(2) == [b"x" * 1000, b"next"]
    assert reader.lines.refused == 2
    position = reader.lines.position
    assert position is not None
    assert position.offset == file.stat().st_size


def test_what_cannot_be_read_is_a_problem_until_it_can(file: Path, reader: Reader) -> None:
    """A folder of that name, then a file."""
    file.mkdir()
    reader.start()
    reader.until(lambda: reader.lines.problem)
    assert "expected a file" in str(reader.lines.problem)
    file.rmdir()
    append(file, b"1\n")
    assert reader.take(1) == [b"1"]
    assert (
        reader.log == ["lines_waiting"] or reader.log == ["lines_waiting"] * 2
    )  # between folder and file there was neither


def test_reading_waits_for_room_and_loses_nothing(file: Path) -> None:
    """A large file does not fill the memory."""
    append(file, b"".join(b"%d\n" % number for number in range(5000)))
    reader = Reader(file, limit=100).start()
    reader.until(lambda: len(reader.inbox) == 50)
    assert reader.take(5000) == [b"%d" % number for number in range(5000)]
    assert reader.inbox.dropped == 0
    reader.lines.stop()


def test_standard_input_ends() -> None:
    """Its last line may have no end; then the gateway is told."""
    read, write = os.pipe()
    reader = Reader("-", standard_input=read).start()
    os.write(write, b"1\n2")
    assert reader.take(1) == [b"1"]
    assert not reader.lines.is_finished
    os.close(write)
    assert reader.take(1) == [b"2"]
    reader.until(lambda: reader.lines.is_finished)
    assert reader.lines.position is None
    reader.lines.stop()
    os.close(read)


def test_it_stops_while_nothing_comes_and_while_there_is_no_room(file: Path) -> None:
    """At once."""
    read, write = os.pipe()
    append(file, b"x\n" * 100)
    for reader in (Reader("-", standard_input=read), Reader(file), Reader(file, limit=10)):
        reader.start().lines.stop()
        assert not reader.lines._thread.is_alive()
    os.close(read)
    os.close(write)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=60), st.integers(0, 2**32))
def test_pieces_do_not_matter(tmp_path_factory: pytest.TempPathFactory, written: list[bytes], seed: int) -> None:
    """Whatever is written in whatever pieces, the same lines come, with the offsets after their ends, and each is a place to go on from."""
    file = tmp_path_factory.mktemp("pieces") / "lines"
    whole = b"".join(written) + b"\nend\n"
    expected, offset = [], 0
    for line in whole.split(b"\n")[:-1]:
        offset += len(line) + 1
        if line.removesuffix(b"\r"):
            expected.append((line.removesuffix(b"\r"), offset))
    reader = Reader(file).start()
    writer = threading.Thread(target=lambda: [append(file, piece) for piece in [*written, b"\nend\n"]])
    writer.start()
    assert reader.take(len(expected)) == [line for line, _ in expected]
    writer.join()
    reader.lines.stop()
    assert [message.token.offset for message in reader.taken] == [offset for _, offset in expected]
    chosen = random.Random(seed).randrange(len(expected))
    again = Reader(file).start(reader.taken[chosen].token)
    assert again.take(len(expected) - chosen - 1) == [line for line, _ in expected[chosen + 1 :]]
    assert again.log == []
    again.lines.stop()
