"""A process that writes down what the gateway publishes: `python -m benchmarks.gateway.consumer PORT PREFIX FILE`.

Each message is a line `{"at": monotonic seconds, "topic": ..., "payload": ..., "retained": ...}`; it is on the disk before it is
acknowledged. Standard output has the line `subscribed` when it is. SIGTERM ends it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

CLIENT = "consumer"


def main(arguments: list[str]) -> int:
    """Run the process; returns the exit status."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    port, prefix, path = int(arguments[0]), arguments[1], Path(arguments[2])
    is_durable = arguments[3:] != ["fast"]
    ended = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=CLIENT, protocol=mqtt.MQTTv5)
    with path.open("a") as file:

        def take(client: Any, data: Any, message: Any) -> None:
            at = time.monotonic()
            line = {"at": at, "topic": message.topic, "payload": message.payload.decode(), "retained": message.retain}
            file.write(json.dumps(line) + "\n")
            if is_durable:
                file.flush()
                if "/alerts/" in message.topic:
                    os.fsync(file.fileno())

        def connected(client: Any, *_: Any) -> None:
            client.subscribe(f"{prefix}/#", 1)

        client.on_message = take
        client.on_connect = connected
        client.on_subscribe = lambda *_: print("subscribed", flush=True)
        expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        expiry.SessionExpiryInterval = 3600
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        client.connect("127.0.0.1", port, clean_start=False, properties=expiry)
        client.loop_start()
        ended.wait()
        client.disconnect()
        client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
