"""A process that publishes steadily, and one reading far off now and then: `python -m benchmarks.gateway.spikes FEED.json OUT`.

First the windows are filled, with a few readings a message. Then, after the line `go` on standard input, come the readings, one a message, evenly over
the time: each machine's at its own moment. `OUT` gets a line `{"machine": ..., "time": ..., "at": ...}` for each spike: when, by the
monotonic clock, it was handed over.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gateway.plant import Part, encoder
from benchmarks.gateway.stream import Sample

SPIKE = 1000.0
"""In scaled units: one such reading lifts the mean over the whole window above any threshold here."""
TOGETHER = 4
"""Readings in a message while the windows are filled."""
VALUES = 512
"""Different normal readings."""


@dataclass(frozen=True)
class Spikes:
    """What to publish."""

    port: int
    part: Part
    channels: int
    length: int
    """Readings in a window."""
    hz: float
    """Of each machine."""
    seconds: float
    spikes_per_s: float
    """Of all machines together."""
    fill: bool = True
    """Whether the windows are filled first; that takes a payload of a list of readings."""

    def write(self, path: Path) -> None:
        """For the process."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Spikes:
        """As it was written."""
        data: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**data, "part": Part(**data["part"])})


def main(arguments: list[str]) -> int:
    """Run the process; returns the exit status."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    spikes = Spikes.read(Path(arguments[0]))
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="spikes", protocol=mqtt.MQTTv5)
    client.max_inflight_messages_set(0)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", spikes.port)
    client.loop_start()
    rng = random.Random(1)
    values = [tuple(round(rng.gauss(0.0, 0.8), 4) for _ in range(spikes.channels)) for _ in range(VALUES)]
    period = round(1e6 / spikes.hz)
    start = _fill(client, spikes, values, period) if spikes.fill else None
    print("filled", flush=True)
    if sys.stdin.readline().strip() == "go":
        with Path(arguments[1]).open("w") as out:
            _publish(client, spikes, values, start, rng, out)
    client.disconnect()
    client.loop_stop()
    return 0


def _fill(client: Any, spikes: Spikes, values: list[tuple[float, ...]], period: int) -> float:
    """Each machine's last T readings, a few in a message; returns when the next one of the first machine is due, seconds since 1970.

    Windows that were filled for minutes end that long ago: the machines' clocks are behind by it, as they may be.
    """
    encode = encoder("untimed")
    now, last = round(time.time() * 1e6), None
    for first in range(0, spikes.length, TOGETHER):
        for index, machine in enumerate(spikes.part.machines):
            begin = now + period * index // spikes.part.count - spikes.length * period
            steps = range(first, min(first + TOGETHER, spikes.length))
            samples = [Sample(begin + step * period, values[(index + step) % VALUES]) for step in steps]
            rows = [{"time": each.time, **json.loads(encode(each))} for each in samples]
            last = client.publish(spikes.part.topic(machine), json.dumps(rows), 1)
            if index % 40 == 0:
                time.sleep(0.02)  # no faster than a gateway takes them, or it would have to hold what it never has to
    assert last is not None
    last.wait_for_publish(60.0)
    return now / 1e6


def _publish(
    client: Any, spikes: Spikes, values: list[tuple[float, ...]], start: float | None, rng: random.Random, out: Any
) -> None:
    machines, encode = spikes.part.machines, encoder(spikes.part.payload)
    topics = [spikes.part.topic(machine) for machine in machines]
    quiet_until = [0] * len(machines)
    warm = 0 if spikes.fill else 2 * spikes.length
    total = round(spikes.seconds * spikes.hz * len(machines))
    share = spikes.spikes_per_s / (spikes.hz * len(machines))
    begin, last, wall = time.monotonic(), None, time.time() if start is None else start
    for count in range(total):
        step, index = divmod(count, len(machines))
        due = count / (spikes.hz * len(machines))
        reading = values[(step + 7 * index) % VALUES]
        is_spike = step >= max(quiet_until[index], warm) and rng.random() < share
        if is_spike:
            reading = (SPIKE, *reading[1:])
            quiet_until[index] = step + spikes.length + 8  # until it has left the window, and the alarm has cleared
        moment = round((wall + due) * 1e6)
        payload = encode(Sample(moment, reading))
        wait = begin + due - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        at = time.monotonic()
        last = client.publish(topics[index], payload, 1)
        if is_spike:
            out.write(json.dumps({"machine": machines[index], "time": moment, "at": at}) + "\n")
    print(json.dumps({"late_s": time.monotonic() - begin - spikes.seconds}), file=sys.stderr)
    assert last is not None
    last.wait_for_publish(60.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
