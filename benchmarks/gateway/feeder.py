"""A process that publishes what machines measure, and keeps the ledger: `python -m benchmarks.gateway.feeder PLANT.json LEDGER`.

Each line of the ledger is on the disk before the reading that it is about is published:

    {"is": "fault", "machine": ..., "first": ..., "last": ...}     the machine's readings are faulty from one time to the other
    {"is": "event", "machine": ..., "time": ..., "kind": ..., "score": ..., "threshold": ...}     what this reading must raise or clear
    {"is": "warming_up", "machine": ..., "time": ...}     the machine's window begins to fill, for the first time or again, with this reading
    {"is": "end", "readings": ..., "seconds": ..., "time": ..., "thresholds": {...}}             everything was published, and acknowledged by the broker

Standard output has a line `raising` after each reading that raises an alert was published. SIGTERM ends it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.gateway.oracle import Oracle
from benchmarks.gateway.plant import Part, Plant, encoder
from benchmarks.gateway.stream import PLAIN, Habits, Sample, merged, samples


@dataclass(frozen=True)
class Feed:
    """What a feeder is to do."""

    folder: str
    parts: tuple[Part, ...]
    port: int
    period_s: float
    seed: int = 1
    habits: Habits = PLAIN
    readings: int | None = None
    """So many and no more; None: until SIGTERM."""
    qos: int = 1

    def write(self, path: Path) -> None:
        """For the process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Feed:
        """As it was written."""
        data: dict[str, Any] = json.loads(path.read_text())
        data["parts"] = tuple(Part(**part) for part in data["parts"])
        habits: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data["habits"].items()
        }
        data["habits"] = Habits(**habits)
        return cls(**data)


def stream(feed: Feed, start: int) -> Iterator[tuple[Part, str, Sample]]:
    """The readings of all machines in order of time, from `start` on (microseconds), each with its part and machine."""
    machines = [(part, machine) for part in feed.parts for machine in part.machines]
    period = round(feed.period_s * 1e6)
    channels = {part.name: channels_of(feed, part) for part in feed.parts}
    streams = [
        samples(
            feed.seed * 100_003 + index,
            channels[part.name],
            start + period * index // len(machines),
            period,
            feed.habits,
        )
        for index, (part, _) in enumerate(machines)
    ]
    for index, sample in merged(streams):
        yield *machines[index], sample


def channels_of(feed: Feed, part: Part) -> int:
    """How many channels the part's machines have."""
    from edge_runtime.bundle import Bundle

    return len(Bundle.read(Path(feed.folder) / part.bundle).manifest.channels)


class Ledger:
    """Lines that are on the disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")

    def write(self, **line: Any) -> None:
        """Add a line."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def main(arguments: list[str]) -> int:
    """Run the process; returns the exit status."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    feed, ledger = Feed.read(Path(arguments[0])), Ledger(Path(arguments[1]))
    plant = Plant(Path(feed.folder), feed.parts, feed.port)
    oracle = Oracle(plant)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="feeder", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(0)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", feed.port)
    client.loop_start()
    told = _Told()
    encoders = {part.name: encoder(part.payload) for part in feed.parts}
    filling: dict[str, str] = {}
    published = 0
    last = None
    begin = time.time()
    print("started", flush=True)
    for part, machine, sample in stream(feed, round(begin * 1e6)):
        if told.to_end or published == feed.readings:
            break
        if sample.fault is not None:
            ledger.write(**{"is": "fault", "machine": machine, "first": sample.time, "last": sample.fault})
        event = oracle.take(machine, sample)
        status = oracle.verdicts[machine].status
        if status in ("warming_up", "scored") and status != filling.get(machine):
            filling[machine] = status
            if status == "warming_up":
                ledger.write(**{"is": "warming_up", "machine": machine, "time": sample.time})
        if event is not None:
            ledger.write(**{"is": "event", **event._asdict()})
        time.sleep(max(0.0, sample.time / 1e6 - time.time()))
        last = client.publish(part.topic(machine), encoders[part.name](sample), feed.qos)
        published += 1
        if event is not None and event.kind == "raised":
            print("raising", flush=True)
    if last is not None:
        last.wait_for_publish(60.0)
    seconds = time.time() - begin
    thresholds = {machine: verdict.threshold for machine, verdict in oracle.verdicts.items()}
    end = {"readings": published, "seconds": seconds, "time": sample.time, "thresholds": thresholds}
    ledger.write(**{"is": "end", **end})
    client.disconnect()
    client.loop_stop()
    return 0


class _Told:
    """Whether SIGTERM came."""

    def __init__(self) -> None:
        self.to_end = False
        signal.signal(signal.SIGTERM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.to_end = True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
