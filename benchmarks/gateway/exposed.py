"""The gateway's /metrics, read as a scraper does."""

from __future__ import annotations

import re
import time
import urllib.request
from collections import defaultdict

SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$")


class Exposed:
    """Samples by name and labels."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for line in text.splitlines():
            if not line.startswith("#") and (found := SAMPLE.match(line)):
                labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                self._samples[found[1]].append((labels, float(found[3])))

    @classmethod
    def of(cls, port: int, timeout_s: float = 60.0) -> Exposed:
        """Those of the gateway on this port."""
        return cls(page(port, "/metrics", timeout_s).decode())

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels; 0 where there is none."""
        wanted = labels.items()
        return sum(value for found, value in self._samples[name] if wanted <= found.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples by one of their labels."""
        return {labels[label]: value for labels, value in self._samples[name] if label in labels}


def page(port: int, path: str, timeout_s: float = 60.0) -> bytes:
    """What the gateway's web server answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout_s) as answer:
        content: bytes = answer.read()
    return content


def wait_until_taken(port: int, readings: int, timeout_s: float = 600.0) -> Exposed:
    """Wait until the gateway has judged so many readings. Raises `RuntimeError`."""
    deadline = time.monotonic() + timeout_s
    while True:
        exposed = Exposed.of(port)
        taken = exposed.total("anomalite_verdicts_total")
        if taken >= readings:
            return exposed
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected {readings} readings to be judged within {timeout_s:g} s, got {taken:.0f}")
        time.sleep(0.5)
