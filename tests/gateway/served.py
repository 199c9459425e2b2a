"""A web server over a made-up plant, for the tests of the server and of the page."""

from __future__ import annotations

import made_status

from edge_runtime.gateway.answers import Answers
from edge_runtime.gateway.device import Device
from edge_runtime.gateway.exposition import Exposition
from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.status import Status
from edge_runtime.gateway.web import Web

START = 1e6


class Served:
    """Listens on a free port of loopback. Its clock stands still, so that a slow test is none of a gateway that hangs."""

    def __init__(self, status: Status | None, folder: str) -> None:
        self.later = 0.0
        """Seconds that have passed."""
        self.faults: list[str] = []
        self.metrics = Metrics()
        self.seen = Seen(lambda: START + self.later, lambda: made_status.NOW)
        answers = Answers(self.seen, Exposition(self.metrics, self.seen), Device(folder, folder, None))
        self.web = Web(answers, self.faults.append)
        if status is not None:
            recent = made_status.filled(status, START)
            for row, machine in enumerate(status.machines):
                self.seen.place(machine.name, recent, row)
            self.seen.publish(status)
        self.web.start("127.0.0.1", 0)

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://127.0.0.1:{self.web.port}"
