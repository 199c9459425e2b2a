"""The gateway's process on disks that are full or have become read-only: it goes on scoring, says so, and stores everything once it can."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import broker
import handmade
import numpy as np
import pytest
from process import Plant, Served, configuration, fetch, group, reading, serving, wait_page

from edge_runtime import load

START = 1_790_000_000.0
FAULTS = range(8, 800, 12)
"""Rows at which one begins; each lasts three readings, and its alarm is over before the next."""
ROWS = 804


def mounted(*command: str) -> None:
    """Mount, or skip the test where that is not allowed; in CI it is."""
    fault = "only root mounts"
    if os.geteuid() == 0:
        fault = subprocess.run(["mount", *command], capture_output=True, text=True, timeout=60, check=False).stderr
    if fault and os.environ.get("CI"):
        pytest.fail(fault)
    if fault:
        pytest.skip(fault)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 2 MB, in memory."""
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=2m", "none", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=60)


class Card:
    """A file system that becomes read-only as a worn SD card does: with files open for writing, and until it is mounted again."""

    def __init__(self, image: Path, folder: Path) -> None:
        self._image, self.folder = image, folder
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(8 * 2**20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True, timeout=60)
        self.mount()

    def mount(self) -> None:
        """Insert it."""
        mounted("-o", "loop,errors=remount-ro", str(self._image), str(self.folder))

    def fail(self) -> None:
        """The kernel finds an error, and writes no more."""
        device = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", str(self.folder)], check=True, capture_output=True, text=True, timeout=60
        )
        trigger = Path("/sys/fs/ext4") / Path(device.stdout.strip()).name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel has no ext4 error to trigger")
        trigger.write_text("1")

    def unmount(self) -> None:
        """Take it out."""
        subprocess.run(["umount", str(self.folder)], check=True, timeout=60)
        subprocess.run(["e2fsck", "-y", str(self._image)], check=False, capture_output=True, timeout=60)


def fill(folder: Path) -> None:
    """To the last byte; again, what was freed since."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def readings() -> list[dict[str, float]]:
    """A second apart, with a fault every twelve."""
    values = np.random.default_rng(4).normal(0, 0.2, (ROWS, 2))
    for fault in FAULTS:
        values[fault : fault + 3] += 6
    return [{"ts": START + row, "c0": float(a), "c1": float(b)} for row, (a, b) in enumerate(values)]


class Bench:
    """A broker, a gateway's folders, and what is to come of the readings."""

    def __init__(self, folder: Path, stack: ExitStack, storage: str = "") -> None:
        self.folder, self.http = folder, broker.free_port()
        self.broker = stack.enter_context(broker.running(folder / "broker", "log_type error"))
        bundle = handmade.sealed(folder / "pump.anomalite")
        self.config = configuration(
            folder, self.broker, group(machines=("a", "b")), f"http = {{ port = {self.http} }}", storage=storage
        )
        self.plant = stack.enter_context(Plant(self.broker.port))
        self.stream = readings()
        verdicts = load(bundle).score(
            [[row["c0"], row["c1"]] for row in self.stream], [row["ts"] for row in self.stream]
        )
        self.expected = [(alert.kind, alert.time.timestamp()) for alert in verdicts.alerts()]
        assert len(self.expected) == 2 * len(FAULTS)
        self.sent = 0
        """Rows."""

    def send(self, count: int) -> None:
        """The next rows, of both machines, and wait for what they cause."""
        self.sent += count
        for row in range(self.sent - count, self.sent):
            for machine in "ab":
                self.plant.send(f"plant/{machine}/readings", self.stream[row])
        due = sum(time < START + self.sent for _, time in self.expected)
        self.plant.wait_alerts(2 * due, "raised", "cleared")

    def send_until_full(self, disk: Path, served: Served, about: str) -> None:
        """Fill the disk, and what the gateway gives back, until it cannot write; its reserve and its log take some alerts."""
        while not any("problem" in line and f"about={about}" in line for line in served.lines):
            fill(disk)
            self.send(12)
            assert self.sent < ROWS - 100

    def told(self, machine: str, since: float = 0.0) -> list[tuple[str, float]]:
        """Kind and time of what was told of a machine's alerts."""
        alerts = self.plant.alerts("raised", "cleared")
        return [(a["kind"], _seconds(a)) for a in alerts if a["machine"] == machine and _seconds(a) >= since]

    def wait_trouble(self, about: str) -> None:
        """Until /healthz says that something is wrong, and /status.json what."""
        wait_page(self.http, "/healthz", lambda status, _: status == 503)
        wait_page(self.http, "/status.json", lambda _, body: about in body)

    def wait_healthy(self) -> None:
        wait_page(self.http, "/healthz", lambda status, _: status == 200)

    def check(self, store: Path) -> None:
        """All alerts came over MQTT as an uninterrupted detector raises them, and the store holds the same, each once."""
        alerts = self.plant.alerts("raised", "cleared")
        for machine in "ab":
            assert self.told(machine) == self.expected
        with reading(store) as reader:
            kept = reader.alerts(1000)
            stored = {(a.id, "raised", a.raised / 1e6) for a in kept}
            stored |= {(a.id, "cleared", a.cleared / 1e6) for a in kept if a.cleared is not None}
            assert len(kept) == len({a.id for a in kept}) == 2 * len(FAULTS)
            assert reader.waiting_count() == 0
        assert stored == {(a["alert"], a["kind"], _seconds(a)) for a in alerts}


def _seconds(alert: dict[str, Any]) -> float:
    return datetime.fromisoformat(alert["time"]).timestamp()


@pytest.mark.parametrize("full", ["store", "journal", "both"])
def test_a_full_disk_while_alerts_are_raised(tmp_path: Path, full: str) -> None:
    """It scores and tells, says that it cannot store, and stores all of it once there is room."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "disk"))
        folders = {"store": 'folder = "disk"\njournal_folder = "journal"', "journal": 'folder = "store"\njournal_folder = "disk"', "both": 'folder = "disk"'}  # fmt: skip
        bench = Bench(tmp_path, stack, folders[full])
        served = stack.enter_context(serving(bench.config))
        bench.plant.wait_online()
        bench.send(14)
        about = "journal" if full == "journal" else "store"
        bench.send_until_full(disk, served, about)
        bench.wait_trouble("No space left" if full == "journal" else "full")
        bench.send(30)
        (disk / "filler").unlink()
        bench.wait_healthy()
        served.wait_line("recovered", f"about={about}")
        bench.send(ROWS - bench.sent)
        wait_page(bench.http, "/status.json", lambda _, body: '"outbox":0' in body)
        assert served.stop() < 5
        bench.check(tmp_path / ("store" if full == "journal" else "disk"))


@pytest.mark.parametrize("has_room", [True, False])
def test_killed_while_the_disk_is_full(tmp_path: Path, has_room: bool) -> None:
    """kill -9, and started again with room, or on the full disk: what was told and not stored comes again under the same ids, and all
    of it is stored once when there is room."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "disk"))
        bench = Bench(tmp_path, stack, 'folder = "disk"\njournal_folder = "journal"')
        served = stack.enter_context(serving(bench.config))
        bench.plant.wait_online()
        bench.send(14)
        bench.send_until_full(disk, served, "store")
        bench.send(30)
        served.kill()
        if has_room:
            (disk / "filler").unlink()
        again = stack.enter_context(serving(bench.config))
        bench.plant.wait_online(2)
        bench.send(30)
        if not has_room:
            bench.wait_trouble("full")
            (disk / "filler").unlink()
        bench.wait_healthy()
        bench.send(ROWS - bench.sent)
        wait_page(bench.http, "/status.json", lambda _, body: '"outbox":0' in body)
        assert again.stop() < 5
        bench.check(disk)


def test_killed_while_the_disk_of_everything_is_full(tmp_path: Path) -> None:
    """The journal could not be written either: what happened since then is gone, was told, and is not made up; then all is as before."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(tmp_path / "disk"))
        bench = Bench(tmp_path, stack, 'folder = "disk"')
        served = stack.enter_context(serving(bench.config))
        bench.plant.wait_online()
        bench.send(14)
        bench.send_until_full(disk, served, "store")
        bench.send(30)
        served.kill()
        bench.plant.forgets = True
        (disk / "filler").unlink()
        again = stack.enter_context(serving(bench.config))
        bench.plant.wait_online(2)
        restarted = START + bench.sent
        for row in range(bench.sent, ROWS):
            for machine in "ab":
                bench.plant.send(f"plant/{machine}/readings", bench.stream[row])
        after = [each for each in bench.expected if each[1] >= restarted + 12]
        bench.plant.wait(
            lambda: all(bench.told(machine, restarted + 12) == after for machine in "ab"), "what follows the restart"
        )
        wait_page(bench.http, "/status.json", lambda _, body: '"outbox":0' in body)
        assert again.stop() < 5
        for machine in "ab":
            raised = [each for each in bench.told(machine) if each[0] == "raised"]
            assert set(raised) <= set(bench.expected)
        with reading(disk) as reader:
            ids = [alert.id for alert in reader.alerts(1000)]
        assert len(set(ids)) == len(ids)
        assert set(ids) <= {alert["alert"] for alert in bench.plant.alerts("raised")}


def test_a_card_that_becomes_read_only(tmp_path: Path) -> None:
    """It scores and tells until it is stopped, and ends cleanly; with a card that can be written, the next process stores all of it."""
    with ExitStack() as stack:
        card = Card(tmp_path / "image", tmp_path / "card")
        stack.callback(subprocess.run, ["umount", "-l", str(card.folder)], check=False, capture_output=True, timeout=60)
        bench = Bench(tmp_path, stack, 'folder = "card"\njournal_folder = "journal"')
        served = stack.enter_context(serving(bench.config))
        bench.plant.wait_online()
        bench.send(14)
        card.fail()
        bench.send(12)
        served.wait_line("problem", "about=store")
        bench.wait_trouble("alerts are kept in memory")
        bench.send(60)
        assert served.stop() < 5
        card.unmount()
        card.mount()
        again = stack.enter_context(serving(bench.config))
        bench.plant.wait_online(2)
        bench.send(ROWS - bench.sent)
        wait_page(bench.http, "/status.json", lambda _, body: '"outbox":0' in body)
        assert again.stop() < 5
        bench.check(card.folder)


def test_a_journal_on_a_card_that_becomes_read_only(tmp_path: Path) -> None:
    """It says that a crash would lose readings, and loses nothing without one."""
    with ExitStack() as stack:
        card = Card(tmp_path / "image", tmp_path / "card")
        stack.callback(subprocess.run, ["umount", "-l", str(card.folder)], check=False, capture_output=True, timeout=60)
        bench = Bench(tmp_path, stack, 'folder = "store"\njournal_folder = "card"')
        served = stack.enter_context(serving(bench.config))
        bench.plant.wait_online()
        bench.send(14)
        card.fail()
        bench.send(ROWS - bench.sent)
        served.wait_line("problem", "about=journal")
        bench.wait_trouble("would not outlast a crash")
        assert "Read-only" in fetch(bench.http, "/status.json")[1]
        assert served.stop() < 5
        bench.check(tmp_path / "store")
