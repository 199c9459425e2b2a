"""A plant: groups of machines, how each group says what it measures, and the gateway's configuration for them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

from benchmarks.gateway.stream import Sample
from edge_runtime.bundle import Bundle

Encode = Callable[[Sample], bytes]


@dataclass(frozen=True)
class Part:
    """Machines that share a bundle and a way in."""

    name: str
    bundle: str
    count: int
    payload: str = "json"
    """One of `PAYLOADS`."""
    engine: str = "auto"

    @property
    def machines(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(f"{self.name}-{index}" for index in range(self.count))

    def topic(self, machine: str) -> str:
        """That a machine's readings are published on."""
        return f"plant/{self.name}/{machine}/readings"

    def to_toml(self) -> str:
        """The group in the gateway's configuration."""
        lines = [
            "[[groups]]",
            f"bundle = {json.dumps(self.bundle)}",
            f"topic = {json.dumps(self.topic('{machine}'))}",
            f"appear = {self.count}",
            f"engine = {json.dumps(self.engine)}",
            f"payload = {PAYLOADS[self.payload]}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Plant:
    """All of it, in one folder."""

    folder: Path
    parts: tuple[Part, ...]
    port: int
    """The broker's."""
    name: str = "proof"
    http_port: int | None = None
    storage: dict[str, float | str] = field(default_factory=dict)
    """Keys of `[storage]` beside the two folders."""
    mqtt: dict[str, float | str | bool] = field(default_factory=dict)
    """Keys of `[mqtt]` beside host and port."""
    journal: Path | None = None

    @property
    def state(self) -> Path:
        """The gateway's storage folder."""
        return self.folder / "state"

    @property
    def journal_folder(self) -> Path:
        """The gateway's journal folder, apart from the other one: it is what a power cut empties."""
        return self.journal or self.folder / "journal"

    @property
    def prefix(self) -> str:
        """Of the topics the gateway writes to."""
        return f"anomalite/{self.name}"

    @property
    def digests(self) -> dict[str, str]:
        """Each part's bundle's digest, by the part's name."""
        return {part.name: Bundle.read(self.folder / part.bundle).digest for part in self.parts}

    def part_of(self, machine: str) -> Part:
        """The part that a machine belongs to."""
        return next(part for part in self.parts if part.name == machine.rsplit("-", 1)[0])

    def write(self) -> Path:
        """Write the gateway's configuration and make its folders; returns the file."""
        for folder in (self.state, self.journal_folder):
            folder.mkdir(parents=True, exist_ok=True)
        http = [] if self.http_port is None else ["[http]", f"port = {self.http_port}"]
        storage = {"folder": str(self.state), "journal_folder": str(self.journal_folder), **self.storage}
        text = [
            f"name = {json.dumps(self.name)}",
            "[mqtt]",
            'host = "127.0.0.1"',
            f"port = {self.port}",
            *_keys(self.mqtt),
            "[storage]",
            *_keys(storage),
            *http,
            *(part.to_toml() for part in self.parts),
        ]
        path = self.folder / "gateway.toml"
        path.write_text("\n".join(text) + "\n")
        return path


def _keys(values: Mapping[str, float | str | bool]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def encoder(payload: str) -> Encode:
    """How a sample becomes a message's payload."""
    return _ENCODERS[payload]


def _json(sample: Sample) -> bytes:
    return json.dumps({"time": sample.time, **_named(sample.values)}).encode()


def _csv(sample: Sample) -> bytes:
    return ",".join([str(sample.time), *("" if isnan(value) else repr(value) for value in sample.values)]).encode()


def _array(sample: Sample) -> bytes:
    return json.dumps([sample.time, *_nulls(sample.values)]).encode()


def _untimed(sample: Sample) -> bytes:
    return json.dumps(_named(sample.values)).encode()


def _listed(sample: Sample) -> bytes:
    return json.dumps([{"time": sample.time, **_named(sample.values)}]).encode()


def _packed(sample: Sample) -> bytes:
    return struct.pack(f"<{len(sample.values)}f", *sample.values)


def _named(values: Sequence[float]) -> dict[str, float | None]:
    return {f"c{index}": value for index, value in enumerate(_nulls(values))}


def _nulls(values: Sequence[float]) -> list[float | None]:
    return [None if isnan(value) else value for value in values]


PAYLOADS = {
    "json": '{ kind = "json", time = "time" }',
    "csv": '{ kind = "csv", time = "first" }',
    "array": '{ kind = "array", time = "first" }',
    "untimed": '{ kind = "json" }',
    "listed": '{ kind = "json", many = "$", time = "time" }',
    "float32": '{ kind = "float32" }',
}
"""How the configuration says what a message holds, by the name that a part gives it."""
_ENCODERS: dict[str, Encode] = {
    "json": _json,
    "csv": _csv,
    "array": _array,
    "untimed": _untimed,
    "listed": _listed,
    "float32": _packed,
}
