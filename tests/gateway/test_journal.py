"""The journal: whatever happens to the process, the states come back to the bit, and so does what led to them."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import handmade
import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import Bundle
from edge_runtime.errors import StoreError
from edge_runtime.gateway import journal_file
from edge_runtime.gateway.journal import Journal, JournalGroup, Restored, Tick
from edge_runtime.gateway.past import Pasts
from edge_runtime.gateway.steady import open_steady
from edge_runtime.state import recall, remember

EVERY, ROOM = 4, 8


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Windows (4, 2), three scores for an alarm, smoothed, a threshold that moves."""
    m = handmade.manifest(4, 2, threshold=handmade.THRESHOLDS["moving_quantile"])
    return Bundle.read(handmade.sealed(tmp_path_factory.mktemp("bundle") / "b.anomalite", m, golden=False))


def group(key: str = "pumps", machines: int = ROOM) -> JournalGroup:
    return JournalGroup(key, 2, EVERY, machines)


class Gateway:
    """As much of one as the journal needs: one group, machines by name, a tick at a time."""

    def __init__(self, folder: Path, bundle: Bundle, order: tuple[str, ...] = (), **more: Any) -> None:
        self.detector = open_steady(bundle, machines=ROOM)
        self.rows: dict[str, int] = {name: row for row, name in enumerate(order)}
        self.journal = Journal(str(folder), [group()], **more)
        self.replayed = 0
        for entry in self.journal.restore(lambda group, name: self.rows.setdefault(name, len(self.rows))):
            if isinstance(entry, Restored):
                recall(self.detector, entry.machine, entry.state)
            else:
                self.detector.update_many(entry.ids, entry.values, handmade.moments(entry.times))
                self.replayed += len(entry.ids)
        self.known = set(self.journal.machines(0))
        self.rotate()

    def rotate(self) -> None:
        ids = self.journal.machines(0)
        self.journal.rotate([dict(zip(ids, remember(self.detector, ids), strict=True))])

    def tick(self, names: list[str], values: np.ndarray, times: np.ndarray, *, is_scored: bool = True) -> Any:
        for name in names:
            row = self.rows.setdefault(name, len(self.rows))
            if row not in self.known:
                self.known.add(row)
                self.journal.register(0, row, name, remember(self.detector, [row])[0])
        ids = np.array([self.rows[name] for name in names], np.int64)
        self.journal.tick(0, ids, times, values)
        self.journal.write()
        if not is_scored:
            return None
        verdicts = self.detector.update_many(ids, values, handmade.moments(times))
        due = self.journal.due(0).tolist()
        self.journal.keep(0, due, remember(self.detector, due))
        if self.journal.needs_rotation:
            self.rotate()
        return verdicts

    def states(self) -> dict[str, bytes]:
        return dict(zip(self.rows, remember(self.detector, list(self.rows.values())), strict=True))


NAMES = ["pump 1", "Püumpe/2", "c", "d", "e"]
ticks = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6), min_size=1, max_size=40)


def played(gateway: Gateway, ticks: list[list[str]], seed: int, first: int = 0) -> Iterator[Any]:
    """Each tick's answers; readings are by number, so that they do not depend on where one begins."""
    for number, names in enumerate(ticks[first:], first):
        rng = np.random.default_rng([seed, number])
        times = handmade.START + handmade.SECOND * number + 1000 * np.arange(len(names))
        yield gateway.tick(names, rng.normal(0, 1, (len(names), 2)), times)


@settings(max_examples=examples(30))
@given(ticks=ticks, seed=st.integers(0, 99), data=st.data())
def test_the_process_may_end_anywhere(
    tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, ticks: list[list[str]], seed: int, data: st.DataObject
) -> None:
    """Ended after a tick was written, scored or not, in files of any size, as often as it may be: the states and answers are the same."""
    folder = tmp_path_factory.mktemp("journal")
    whole = Gateway(folder / "whole", bundle)
    expected = [answer.scores.tobytes() for answer in played(whole, ticks, seed)]
    limit = data.draw(st.sampled_from([0, 2000, 1 << 20]))
    gateway = Gateway(folder / "cut", bundle, limit=limit)
    for number, names in enumerate(ticks):
        if data.draw(st.integers(0, 4)) == 0:
            rng = np.random.default_rng([seed, number])
            times = handmade.START + handmade.SECOND * number + 1000 * np.arange(len(names))
            gateway.tick(names, rng.normal(0, 1, (len(names), 2)), times, is_scored=False)
            gateway.journal.close()
            order = tuple(data.draw(st.permutations(NAMES)))
            gateway = Gateway(folder / "cut", bundle, order, limit=limit)
        else:
            (answer,) = (each for each in [next(played(gateway, ticks, seed, number))])
            assert answer.scores.tobytes() == expected[number]
        known = gateway.states()
        assert all(known[name] == state for name, state in at(folder, bundle, ticks[: number + 1], seed).items())
    gateway.journal.close()
    whole.journal.close()


def at(folder: Path, bundle: Bundle, ticks: list[list[str]], seed: int) -> dict[str, bytes]:
    """The states without any journal."""
    detector = open_steady(bundle, machines=ROOM)
    for number, names in enumerate(ticks):
        rng = np.random.default_rng([seed, number])
        times = handmade.START + handmade.SECOND * number + 1000 * np.arange(len(names))
        ids = [NAMES.index(name) for name in names]
        detector.update_many(ids, rng.normal(0, 1, (len(names), 2)), handmade.moments(times))
    seen = sorted({NAMES.index(name) for names in ticks for name in names})
    return dict(zip([NAMES[row] for row in seen], remember(detector, seen), strict=True))


def proves(gateway: Gateway, bundle: Bundle, row: int, until: int | None = None) -> int:
    """The evidence of a machine leads to its state now, to the bit; returns how many readings it has."""
    past = gateway.journal.evidence(0, row, until)
    assert past is not None
    again = open_steady(bundle)
    recall(again, 0, past.state)
    if len(past.times):
        again.update_many(np.zeros(len(past.times), np.int64), past.values, handmade.moments(past.times))
    if until is None:
        assert remember(again, [0]) == remember(gateway.detector, [row])
    else:
        assert past.times[-1] == until
    return len(past.times)


@settings(max_examples=examples(30))
@given(ticks=ticks, seed=st.integers(0, 99), limit=st.sampled_from([0, 1500, 1 << 20]), data=st.data())
def test_evidence_leads_to_now(
    tmp_path_factory: pytest.TempPathFactory,
    bundle: Bundle,
    ticks: list[list[str]],
    seed: int,
    limit: int,
    data: st.DataObject,
) -> None:
    """An older state and the readings since, after any tick, after new files and restarts; a whole window as soon as there is one."""
    folder = tmp_path_factory.mktemp("journal")
    gateway = Gateway(folder, bundle, limit=limit)
    since: dict[int, int] = {}
    for number in range(len(ticks)):
        if data.draw(st.integers(0, 5)) == 0:
            names = dict(gateway.rows)
            gateway.journal.close()
            gateway = Gateway(folder, bundle, limit=limit)
            since = {gateway.rows[name]: since.get(row, 0) for name, row in names.items()}
        next(played(gateway, ticks, seed, number))
        for name in ticks[number]:
            since[gateway.rows[name]] = since.get(gateway.rows[name], 0) + 1
        for row in gateway.known:
            gateway.journal.evidence(0, row)
            if gateway.journal.pasts[0].has(row):
                assert proves(gateway, bundle, row) <= 2 * EVERY
    gateway.journal.close()


def run(gateway: Gateway, count: int, names: tuple[str, ...] = ("a", "b"), first: int = 0) -> None:
    """One reading of each machine a second."""
    for number in range(first, first + count):
        rng = np.random.default_rng([1, number])
        times = np.full(len(names), handmade.START + handmade.SECOND * number)
        gateway.tick(list(names), rng.normal(0, 1, (len(names), 2)), times)


def test_a_whole_window_is_evidence(tmp_path: Path, bundle: Bundle) -> None:
    """From the `every`th reading on it never has fewer than so many, restarts and new files or not, and never twice as many and more."""
    gateway = Gateway(tmp_path, bundle, limit=2000)
    for number in range(60):
        if number % 17 == 16:
            gateway.journal.close()
            gateway = Gateway(tmp_path, bundle, limit=2000)
        rng = np.random.default_rng([1, number])
        times = np.full(2, handmade.START + handmade.SECOND * number)
        gateway.tick(["a", "b"], rng.normal(0, 1, (2, 2)), times)
        assert min(number + 1, EVERY) <= proves(gateway, bundle, 0) <= 2 * EVERY
    assert proves(gateway, bundle, 1, handmade.START + handmade.SECOND * 58) >= 3
    gateway.journal.close()


def at_once(gateway: Gateway, count: int, first: int) -> np.ndarray:
    """So many readings of machine 0 in one tick, scored; returns their times."""
    times = handmade.START + handmade.SECOND * np.arange(first, first + count)
    values = np.random.default_rng(first).normal(0, 1, (count, 2))
    ids = np.zeros(count, np.int64)
    gateway.journal.tick(0, np.append(ids, 1), np.append(times, times[-1]), np.concatenate([values, [[0.5, 0.5]]]))
    gateway.journal.write()
    gateway.detector.update_many(ids, values, handmade.moments(times))
    gateway.detector.update_many([1], [[0.5, 0.5]], handmade.moments(times[-1:]))
    return times


@pytest.mark.parametrize("count", [3, 6, 100])
@pytest.mark.parametrize("before", [1, 3, 5, 7, 9])
def test_many_readings_at_once(tmp_path: Path, bundle: Bundle, before: int, count: int) -> None:
    """More of one machine in a tick than there is room for: evidence for what any of them raises, no other machine disturbed."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, before)
    times = at_once(gateway, count, before)
    proves(gateway, bundle, 1)
    for until in (None, times[0], times[1], times[-1]):
        assert proves(gateway, bundle, 0, until) >= min(before, 1)
    more = at_once(gateway, count, before + count)  # before any new state
    assert proves(gateway, bundle, 0, more[-1]) >= count + min(before, 1) or count < EVERY
    proves(gateway, bundle, 0)
    assert proves(gateway, bundle, 1) >= min(before, EVERY)
    assert 0 in gateway.journal.due(0) or count < EVERY
    due = gateway.journal.due(0).tolist()
    gateway.journal.keep(0, due, remember(gateway.detector, due))
    run(gateway, 6, first=before + 2 * count)
    assert proves(gateway, bundle, 0) >= 6
    states = gateway.states()
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert again.states() == states
    proves(again, bundle, 0)
    again.journal.close()


def test_far_too_many_readings_at_once(tmp_path: Path, bundle: Bundle) -> None:
    """No evidence for what they raise, until the next state; everything else is as ever."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 5)
    at_once(gateway, Pasts.MOST, 5)
    assert gateway.journal.evidence(0, 0) is None
    proves(gateway, bundle, 1)
    due = gateway.journal.due(0).tolist()
    assert 0 in due
    gateway.journal.keep(0, due, remember(gateway.detector, due))
    run(gateway, 2, first=5 + Pasts.MOST)
    assert proves(gateway, bundle, 0) == 2
    states = gateway.states()
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert again.states() == states
    again.journal.close()


def test_a_state_that_was_shifted_has_no_past(tmp_path: Path, bundle: Bundle) -> None:
    """The readings before do not lead to it: evidence begins with it, after a restart too."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 10)
    gateway.detector.reset(0)
    gateway.journal.keep(0, [0], remember(gateway.detector, [0]), restarts=True)
    assert proves(gateway, bundle, 0) == 0
    run(gateway, 2, first=10)
    assert proves(gateway, bundle, 0) == 2
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert proves(again, bundle, 0) == 2
    assert proves(again, bundle, 1) >= EVERY
    again.journal.close()


def test_states_that_are_not_to_be_relied_on_are_not_recorded(tmp_path: Path, bundle: Bundle) -> None:
    """While the store is out of order every reading since the last recorded state comes again: an alert in them is raised again."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 1)
    gateway.rotate()
    for number in range(1, 21):
        values, times = np.random.default_rng([1, number]).normal(0, 1, (1, 2)), np.array([handmade.START + number])
        gateway.journal.tick(0, np.array([0]), times, values)
        gateway.journal.write()
        gateway.detector.update_many([0], values, handmade.moments(times))
        due = gateway.journal.due(0).tolist()
        gateway.journal.keep(0, due, remember(gateway.detector, due), record=False)
        proves(gateway, bundle, 0)
    states = gateway.states()
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert again.replayed == 20
    assert again.states() == states
    again.journal.close()


@settings(max_examples=examples(60))
@given(place=st.floats(0, 1), kind=st.sampled_from(["cut", "flip", "more"]))
def test_a_torn_end_is_cut_off(
    tmp_path_factory: pytest.TempPathFactory, bundle: Bundle, place: float, kind: str
) -> None:
    """Cut off or altered anywhere after its head: the states after some tick before that place, and never anything else."""
    folder = tmp_path_factory.mktemp("journal")
    gateway = Gateway(folder, bundle)
    possible, sizes = [gateway.states()], [gateway.journal.size]
    for number in range(12):
        run(gateway, 1, first=number)
        possible.append(gateway.states())
        sizes.append(gateway.journal.size)
    gateway.journal.close()
    ((_, path),) = journal_file.generations(str(folder))
    content = bytearray(Path(path).read_bytes())
    at = sizes[0] + int(place * (len(content) - sizes[0] - 1))
    if kind == "cut":
        del content[at:]
    elif kind == "flip":
        content[at] ^= 0x10
    else:
        content += content[at:] + b"\0" * 40
    Path(path).write_bytes(content)
    again = Gateway(folder, bundle)
    again.journal.close()
    states = again.states()
    assert states in possible[1:] if kind == "more" else states in possible
    if kind == "cut":
        whole = sum(size <= at for size in sizes) - 1
        assert states == possible[whole] or whole == 0
    if kind == "more":
        assert states == possible[-1]


def test_a_head_that_is_not_whole_is_passed_over(tmp_path: Path, bundle: Bundle) -> None:
    """The file before it is used, and the log is told."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 9)
    gateway.rotate()
    run(gateway, 2, first=9)
    states = gateway.states()
    gateway.journal.close()
    (number, path) = journal_file.generations(str(tmp_path))[-1]
    broken = Path(path).read_bytes()[:200]
    (tmp_path / f"journal-{number + 1}").write_bytes(broken)
    (tmp_path / f"journal-{number + 2}.part").write_bytes(b"?")
    (tmp_path / "journal-x").write_bytes(b"?")
    again = Gateway(tmp_path, bundle)
    assert again.states() == states
    assert [each for each in again.journal.problems if f"journal-{number + 1}: not whole" in each]
    again.journal.close()


def test_another_version_is_not_read(tmp_path: Path, bundle: Bundle) -> None:
    """A file of a later format begins nothing, and is no reason to stop."""
    (tmp_path / "journal-7").write_bytes(
        journal_file.MAGIC + journal_file.frame(journal_file.HEAD, b'{"format": 99}') + journal_file.frame(6)
    )
    gateway = Gateway(tmp_path, bundle)
    assert gateway.states() == {}
    assert "of another version" in gateway.journal.problems[0]
    gateway.journal.close()


def test_readings_for_another_bundle_are_not_taken_up(tmp_path: Path, bundle: Bundle) -> None:
    """A group is told by its key; others, and machines that are not wanted any more, are passed over."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 6, ("a", "b", "c"))
    gateway.journal.close()
    entries = taken(tmp_path, [group("fans"), group("pumps")], lambda number, name: {"a": 5, "c": 2}.get(name))
    assert {(entry.group, entry.machine, entry.name) for entry in entries if isinstance(entry, Restored)} == {
        (1, 5, "a"), (1, 2, "c"),
    }  # fmt: skip
    ticks = [entry for entry in entries if isinstance(entry, Tick)]
    assert [entry.ids.tolist() for entry in ticks] == [[5, 2], [5, 2]]
    assert {entry.group for entry in ticks} == {1}
    assert taken(tmp_path, [group("pumps2")], lambda number, name: 0) == []
    assert taken(tmp_path, [JournalGroup("pumps", 3, EVERY, ROOM)], lambda number, name: 0) == []


def taken(folder: Path, groups: list[JournalGroup], row_of: Any) -> list[Any]:
    """Everything that is restored."""
    journal = Journal(str(folder), groups)
    entries = list(journal.restore(row_of))
    journal.close()
    return entries


def test_notes_come_back(tmp_path: Path, bundle: Bundle) -> None:
    """The newest of each key, over any number of files."""
    gateway = Gateway(tmp_path, bundle)
    gateway.journal.note("offset:a.jsonl", "17")
    gateway.journal.note("clock", '{"boot": "ü"}')
    gateway.journal.write()
    for _ in range(3):
        gateway.rotate()
    gateway.journal.note("offset:a.jsonl", "19")
    gateway.journal.write()
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert again.journal.notes == {"offset:a.jsonl": "19", "clock": '{"boot": "ü"}'}
    again.journal.close()


def test_two_files_at_most(tmp_path: Path, bundle: Bundle) -> None:
    """However long it runs: their sizes are bounded by the limit."""
    gateway = Gateway(tmp_path, bundle, limit=5000)
    for number in range(300):
        run(gateway, 1, first=number)
        files = [path for _, path in journal_file.generations(str(tmp_path))]
        assert len(files) <= 2
        assert max(Path(path).stat().st_size for path in files) < 9000
    gateway.journal.close()


def test_one_gateway_a_folder(tmp_path: Path, bundle: Bundle) -> None:
    """The second one is told so; after the first has ended it may."""
    first = Journal(str(tmp_path), [group()])
    with pytest.raises(StoreError, match="another gateway keeps its journal here"):
        Journal(str(tmp_path), [group()])
    first.close()
    Journal(str(tmp_path), [group()]).close()


def test_no_folder(tmp_path: Path) -> None:
    """One line that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/x/journal.lock: cannot be opened: Not a directory"):
        Journal(str(tmp_path / "file" / "x"), [group()])


@pytest.fixture
def limited_files() -> Iterator[Any]:
    """A function that limits the size of the files this process may write: the system writes what fits, then refuses."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_no_room(tmp_path: Path, bundle: Bundle, limited_files: Any) -> None:
    """An error, of a record in the middle too; nothing half is left behind, readings are scored, and with room all goes on."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 6)
    size = gateway.journal.size
    before = gateway.states()
    limited_files(size + 50)
    with pytest.raises(StoreError, match="the journal cannot be written: File too large"):
        run(gateway, 1, first=6)
    assert max(Path(path).stat().st_size for _, path in journal_file.generations(str(tmp_path))) == size
    with pytest.raises(StoreError, match="no new file has been begun"):
        run(gateway, 1, first=7)
    assert gateway.journal.needs_rotation
    limited_files(50)
    with pytest.raises(StoreError, match="cannot be written"):
        gateway.rotate()
    limited_files(resource.RLIM_INFINITY)
    assert [each.name for each in tmp_path.iterdir() if "part" in each.name] == []

    copy = tmp_path / "copy"  # had it ended here: what was written before
    copy.mkdir()
    for _, path in journal_file.generations(str(tmp_path)):
        (copy / Path(path).name).write_bytes(Path(path).read_bytes())
    ended = Gateway(copy, bundle)
    assert ended.states() == before
    ended.journal.close()

    gateway.rotate()
    run(gateway, 3, first=8)
    states = gateway.states()
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert again.states() == states
    assert proves(again, bundle, 0) == 3  # not over the gap
    again.journal.close()


def test_a_disk_that_takes_a_record_in_parts(tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that is cut short goes on; one that then fails, and cannot even be cut off, is told by its checksum."""
    gateway = Gateway(tmp_path, bundle)
    run(gateway, 2)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:7]))
    run(gateway, 2, first=2)
    states = gateway.states()
    left = [5]

    def failing(descriptor: int, content: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content[:7])

    def refused(descriptor: int, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "write", failing)
    monkeypatch.setattr(os, "ftruncate", refused)
    with pytest.raises(StoreError, match="No space left"):
        run(gateway, 1, first=4)
    monkeypatch.undo()
    gateway.journal.close()
    again = Gateway(tmp_path, bundle)
    assert again.states() == states
    again.journal.close()


KILLED = """
import os, sys
import numpy as np
from edge_runtime.gateway.journal import Journal, JournalGroup
journal = Journal(sys.argv[1], [JournalGroup("pumps", 2, 16, 8)], limit=20000)
list(journal.restore(lambda group, name: 0))
journal.register(0, 0, "a", b"state")
journal.rotate([{0: b"state"}])
for number in range(10**9):
    journal.tick(0, np.zeros(300, np.int64), np.arange(300) + 300 * number, np.full((300, 2), float(number)))
    journal.write()
    print(number, flush=True)
    if journal.needs_rotation:
        journal.rotate([{0: b"%d" % number}])
"""


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """kill -9 at any moment: what `write` returned from is there, whole, in a state and the readings after it."""
    for attempt in range(6):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(10 + 23 * attempt):
            process.stdout.readline()
        process.kill()
        said = [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
        process.stdout.close()
        journal = Journal(str(tmp_path), [group()])
        state, *ticks = journal.restore(lambda group, name: 0)
        journal.close()
        assert isinstance(state, Restored)
        first = 0 if state.state == b"state" else int(state.state) + 1
        for number, tick in enumerate(ticks, first):
            assert isinstance(tick, Tick)
            assert tick.times.tolist() == list(range(300 * number, 300 * number + 300))
            assert (tick.values == number).all()
        assert first + len(ticks) > max(map(int, said), default=0)
