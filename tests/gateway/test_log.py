"""One line an event: what it looks like, how many there are, and that none of them stops the gateway."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.gateway.log import Log, Secret

NOW = 1_800_000_000.0


class FakeClock:
    """Time that goes on when told to."""

    elapsed = 7.25
    now = NOW

    def monotonic(self) -> float:
        return self.elapsed

    def wall(self) -> float:
        return self.now

    def boot(self) -> str:
        return "one"


class Written:
    """A log to a file, and what is in it."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.clock = path, FakeClock()
        self.descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.log = Log(descriptor=self.descriptor, clock=self.clock, **{"environ": {}, **options})

    @property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[..., Written]]:
    """Makes a log to a file of its own."""
    made: list[Written] = []

    def make(**options: Any) -> Written:
        made.append(Written(tmp_path / f"log-{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        os.close(each.descriptor)


def test_a_line_of_text(written: Callable[..., Written]) -> None:
    """Time, level, event and its fields, quoted where they are not plain."""
    it = written()
    it.log("broker_connected", host="localhost", port=8883, kept=True, since=None, error="no route: b", share=0.5)
    assert it.lines == [
        "2027-01-15T08:00:00.000+00:00 info broker_connected host=localhost port=8883 kept=true since=null "
        'error="no route: b" share=0.5'
    ]


def test_a_line_of_json(written: Callable[..., Written]) -> None:
    """The same as an object; a number that JSON does not have is text."""
    it = written(form="json")
    it.log("started", level="warning", score=float("nan"), machines=("a", "b"), path=Path("x"), size=3)
    assert json.loads(it.lines[0]) == {
        "time": "2027-01-15T08:00:00.000+00:00", "level": "warning", "event": "started",
        "score": "nan", "machines": ["a", "b"], "path": "x", "size": 3,
    }  # fmt: skip


def test_names_that_say_something_went_wrong_are_warnings(written: Callable[..., Written]) -> None:
    """Unless the level is given."""
    it = written()
    for name in ("broker_lost", "broker_connected", "subscription_refused", "broker_not_verified"):
        it.log(name)
    it.log("broker_lost", level="error")
    assert [line.split()[1] for line in it.lines] == ["warning", "info", "warning", "warning", "error"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_breaks_a_line(written: Callable[..., Written], form: str) -> None:
    """Line breaks, escape sequences, text direction and lone surrogates from a stranger's topic are escaped."""
    it = written(form=form)
    evil = "a\nb\r\x1b[31m\x00\u2028\u202e\x85\ud800\"'\\ "
    it.log("topic_refused", topic=evil, k={evil: [evil]})
    data = it.path.read_bytes()
    assert data.count(b"\n") == 1
    text = data.decode("utf-8")
    assert all(each.isprintable() for each in text[:-1])
    if form == "json":
        assert json.loads(text)["topic"] == evil


def test_long_values_and_lines_are_cut(written: Callable[..., Written]) -> None:
    """A line fits into what a pipe takes at once."""
    it = written()
    it.log("message_refused", topic="x" * 100_000)
    it.log("message_refused", **{f"k{n}": "y" * 1000 for n in range(100)})
    it.log("message_refused", some=list(range(100_000)))
    assert len(it.lines) == 3
    assert all(len(line) <= 4_096 for line in it.lines)
    assert "xxx..." in it.lines[0]
    assert it.lines[1].endswith("fields_left_out=100")


def test_five_lines_a_minute_of_an_event_and_then_their_number(written: Callable[..., Written]) -> None:
    """Each event by its name has its own five; the rest is counted, and told when the minute is over."""
    it = written()
    for n in range(100):
        it.log("payload_refused", n=n)
    it.log("broker_lost")
    assert len(it.lines) == 6
    it.clock.elapsed += 59
    it.log.tick()
    assert len(it.lines) == 6
    it.clock.elapsed += 1
    it.log.tick()
    assert it.lines[-1].split(" ", 1)[1] == "warning payload_refused left_out=95"
    it.log("payload_refused", n=100)
    assert len(it.lines) == 8
    for _ in range(7):
        it.log("payload_refused")
    it.log.close()
    assert it.lines[-1].endswith("left_out=3")


def test_alerts_are_never_left_out(written: Callable[..., Written]) -> None:
    """However many there are."""
    it = written()
    for n in range(300):
        it.log("alert_raised", alert=n)
    assert len(it.lines) == 300


def test_less_than_the_level_is_not_written(written: Callable[..., Written]) -> None:
    """`warning` leaves out `info`."""
    it = written(level="warning")
    it.log("started")
    it.log("broker_lost")
    assert [line.split()[2] for line in it.lines] == ["broker_lost"]


def test_a_clock_that_is_not_set_comes_with_the_time_since_the_boot(written: Callable[..., Written]) -> None:
    """In 1970 nobody can tell the order of lines by their time."""
    it = written()
    it.clock.now = 12.0
    it.log("started")
    assert it.lines == ["1970-01-01T00:00:12.000+00:00 info started up_s=7.25"]


def test_a_secret_is_not_written(written: Callable[..., Written]) -> None:
    """Neither itself, nor within the message of somebody's error."""
    it = written()
    secret = Secret("hunter2")
    it.log.hide(secret)
    it.log(
        "login_refused", password=secret, error=ValueError("bad login user:hunter2@host"), all={"hunter2": ["hunter2"]}
    )
    assert "hunter2" not in it.lines[0]
    assert it.lines[0].count("***") == 4
    assert f"{secret} {secret!r} {[secret]}" == "*** *** [***]"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != Secret("hunter3")
    with pytest.raises(TypeError, match="not written"):
        pickle.dumps(secret)


def test_under_systemd_a_line_has_its_priority(written: Callable[..., Written], tmp_path: Path) -> None:
    """If the journal reads standard error, and not where that was sent somewhere else."""
    it = written()
    status = os.fstat(it.descriptor)
    ours = Log(descriptor=it.descriptor, environ={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    ours("broker_lost")
    Log(descriptor=it.descriptor, environ={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"})("started")
    Log(descriptor=it.descriptor, environ={"JOURNAL_STREAM": "nonsense"})("started")
    assert it.lines[0].startswith("<4>2")
    assert it.lines[1].startswith("2")
    assert it.lines[2].startswith("2")


def test_a_reader_that_went_away_stops_nothing() -> None:
    """Nor a descriptor that is closed: the lines are counted."""
    read, write = os.pipe()
    os.close(read)
    log = Log(descriptor=write, environ={})
    log("started")
    os.close(write)
    log("started")
    assert log.lost == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_stops_nothing() -> None:
    """Lines are lost, and counted."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    log = Log(descriptor=descriptor, environ={})
    for _ in range(3):
        log("alert_raised")
    os.close(descriptor)
    assert log.lost == 3


def test_a_reader_that_does_not_read_is_not_waited_for() -> None:
    """When it reads again it is told how many lines it missed."""
    read, write = os.pipe()
    log = Log(descriptor=write, environ={})
    for _ in range(1_000):
        log("alert_raised", text="x" * 400)
    assert 0 < log.lost < 1_000
    os.read(read, 65_536)
    lost = log.lost
    log("alert_cleared")
    lines = os.read(read, 65_536).decode().splitlines()
    assert lines[-2].split(" ", 1)[1] == f"warning log_lines_lost lines={lost}"
    assert lines[-1].split()[2] == "alert_cleared"
    os.close(read)
    os.close(write)


def test_any_thread_may_log(written: Callable[..., Written]) -> None:
    """Lines are whole, and none is missing."""
    it = written(form="json")

    def many(worker: int) -> None:
        for n in range(200):
            it.log("alert_raised", worker=worker, n=n, text="x" * 300)

    threads = [threading.Thread(target=many, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [json.loads(line) for line in it.lines]
    assert {(each["worker"], each["n"]) for each in found} == {(worker, n) for worker in range(8) for n in range(200)}
