"""Plays the bearing's readings as if they came from the rig now: publishes each to a broker, some thousand times faster.

    python examples/gateway/replay.py

They are ten minutes apart, and carry the time at which they were recorded. Twenty of them a second is the default, so the alarm,
which comes with reading 540 of 984, comes after 27 seconds. Needs paho-mqtt, which the extra `gateway` brings.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

READINGS = Path(__file__).parent.parent / "ims_bearing" / "readings.csv"
TOPIC = "plant/bearing-rig/readings"


def main() -> int:
    """Publish the readings; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="replay.py", description="Play the bearing's readings to an MQTT broker as if they came from the rig now."
    )
    parser.add_argument(
        "--speed", type=float, default=12_000, metavar="N", help="times faster than it was (default: 12000)"
    )
    parser.add_argument("--host", default="localhost", help="of the broker (default: localhost)")
    parser.add_argument("--port", type=int, default=1883, help="of the broker (default: 1883)")
    parser.add_argument(
        "--from", dest="start", type=_moment, metavar="TIME", help="leave out what is before, such as 2004-02-15T00:00"
    )
    given = parser.parse_args()
    if not given.speed > 0:
        parser.error(f"--speed: expected a number above 0, got {given.speed:g}")
    try:
        count = replay(readings(given.start), given.host, given.port, given.speed)
    except OSError as fault:
        print(f"replay: no broker answers on {given.host}:{given.port}: {fault.strerror or fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"{count} readings published to {TOPIC}")
    return 0


def readings(start: datetime | None = None) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """The file's rows from `start` on: when each was recorded, and the message the rig would send."""
    with READINGS.open(newline="") as file:
        for row in csv.DictReader(file):
            recorded = _moment(row.pop("timestamp"))
            if start is None or recorded >= start:
                vibration = {name.removeprefix("mean_abs_"): float(value) for name, value in row.items()}
                yield recorded, {"time": recorded.isoformat(), "vibration": vibration}


def replay(messages: Iterator[tuple[datetime, dict[str, Any]]], host: str, port: int, speed: float) -> int:
    """Publish each message when it is due; returns how many the broker acknowledged. Raises `OSError` without a broker."""
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect(host, port)
    client.loop_start()
    published = []
    day = first = begun = None
    for recorded, message in messages:
        if first is None or begun is None:
            first, begun = recorded, time.monotonic()
        due = begun + (recorded - first).total_seconds() / speed
        time.sleep(max(due - time.monotonic(), 0))
        published.append(client.publish(TOPIC, json.dumps(message), qos=1))
        if recorded.date() != day:
            day = recorded.date()
            print(f"{day}", flush=True)
    for each in published:
        each.wait_for_publish()
    client.disconnect()
    client.loop_stop()
    return len(published)


def _moment(text: str) -> datetime:
    """An ISO 8601 time; UTC where it does not say."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
