"""What each path of the gateway's web server answers. Nothing here changes anything."""

from __future__ import annotations

import gzip
import json
import math
import os
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from edge_runtime.gateway.device import Device
from edge_runtime.gateway.exposition import CONTENT_TYPE, Exposition
from edge_runtime.gateway.seen import Seen
from edge_runtime.gateway.status import Status

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
JSON = "application/json"
_MACHINES, _JSON = "/machines/", ".json"
_WORTH_PACKING = 1_000
_FRESH_S = 1.0


class Answer(NamedTuple):
    """To one request."""

    status: int
    content_type: str
    body: bytes
    packed: bytes | None = None
    """The body compressed by gzip, if that is worth it."""


class Answers:
    """Knows all paths. Any thread."""

    def __init__(self, seen: Seen, exposition: Exposition, device: Device) -> None:
        self._seen, self._exposition, self._device = seen, exposition, device
        self._files = {f"/{name}": _file(name) for name in sorted(os.listdir(PAGE)) if _extension(name) in TYPES}
        self._files["/"] = self._files.pop("/index.html")
        self._status, self._metrics = _Kept(self._write_status), _Kept(self._write_metrics)

    def find(self, path: str) -> Answer:
        """The answer to GET; `path` as it stands in the request, without what follows a question mark."""
        found = self._files.get(path)
        if found is not None:
            return found
        if path == "/status.json":
            return self._status.answer(self._seen.status())
        if path == "/metrics":
            return self._metrics.answer(None)
        if path == "/healthz":
            return self._health()
        if path.startswith(_MACHINES) and path.endswith(_JSON):
            return self._of_machine(path[len(_MACHINES) : -len(_JSON)])
        return refusal(404, "there is nothing under this path")

    def _health(self) -> Answer:
        troubles = self._seen.troubles()
        told: dict[str, Any] = {"healthy": not troubles}
        if troubles:
            told["reasons"] = troubles
        return Answer(503 if troubles else 200, JSON, json.dumps(told).encode())

    def _write_status(self) -> Answer:
        told: dict[str, Any] = {"age_s": round(self._seen.age_s(), 1), "troubles": self._seen.troubles()}
        told["device"] = self._device.health()._asdict()
        return _packed(200, JSON, "".join(_status_text(told, self._seen.status())).encode())

    def _write_metrics(self) -> Answer:
        return _packed(200, CONTENT_TYPE, self._exposition.text())

    def _of_machine(self, quoted: str) -> Answer:
        try:
            name = unquote_to_bytes(quoted).decode()
        except UnicodeDecodeError:
            return refusal(404, "the name of the machine is not UTF-8")
        recent = self._seen.recent(name)
        if recent is None:
            return refusal(404, "there is no machine of this name")
        told = {
            "machine": name,
            "times": [round(each) for each in recent.times.tolist()],
            "scores": [_number(each) for each in recent.scores.tolist()],
            "thresholds": [_number(each) for each in recent.thresholds.tolist()],
        }
        return _packed(200, JSON, json.dumps(told, separators=(",", ":")).encode())


class _Kept:
    """An answer that is written once for everyone who asks within a second, and never more than a fifth of the time.

    So those who look, however many and how often, leave the processor to the thread that scores.
    """

    def __init__(self, write: Callable[[], Answer]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._newest: tuple[object, Answer, float, float] | None = None

    def answer(self, of: object) -> Answer:
        """The one of a second ago if it still is of the same object, `of`, and always while a new one would cost too much."""
        with self._lock:
            began = monotonic()
            if self._newest is not None:
                last, answer, finished, cost = self._newest
                if began - finished < (max(_FRESH_S, 4 * cost) if last is of else 4 * cost):
                    return answer
            answer = self._write()
            finished = monotonic()
            self._newest = (of, answer, finished, finished - began)
            return answer


def refusal(status: int, why: str) -> Answer:
    """An error, as JSON."""
    return Answer(status, JSON, json.dumps({"error": why}).encode())


def _status_text(told: dict[str, Any], status: Status | None) -> Iterator[str]:
    """`/status.json` in small pieces: writing one takes microseconds, so the thread that scores never waits for a large one."""
    if status is not None:
        told |= status._asdict()
    lists: dict[str, Any] = {name: told.pop(name, ()) for name in ("machines", "bundles", "alerts")}
    yield _dumps(told)[:-1]
    for name, rows in lists.items():
        yield f',"{name}":['
        for place, row in enumerate(rows):
            fields = row._asdict()
            if name == "alerts":
                # Pairs: a browser would put a channel named "7" before all others of an object.
                fields["contributions"] = list(row.contributions.items())
            yield f"{',' if place else ''}{_dumps(fields)}"
        yield "]"
    yield "}"


def _dumps(told: Any) -> str:
    try:
        return json.dumps(told, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a browser refuses NaN, and the whole page with it
        return json.dumps(_finite(told), separators=(",", ":"), allow_nan=False)


def _finite(told: Any) -> Any:
    """The same with null for the numbers that JSON does not have."""
    if isinstance(told, float):
        return told if math.isfinite(told) else None
    if isinstance(told, dict):
        return {key: _finite(value) for key, value in told.items()}
    return [_finite(each) for each in told] if isinstance(told, (list, tuple)) else told


def _number(value: float) -> float | None:
    """Five digits are what float32 and a screen can show."""
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _packed(status: int, content_type: str, body: bytes) -> Answer:
    packed = gzip.compress(body, 3, mtime=0) if len(body) > _WORTH_PACKING else None
    return Answer(status, content_type, body, packed)


def _file(name: str) -> Answer:
    with open(os.path.join(PAGE, name), "rb") as file:
        return _packed(200, TYPES[_extension(name)], file.read())


def _extension(name: str) -> str:
    return os.path.splitext(name)[1]
