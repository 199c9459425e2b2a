"""Messages of raw samples: a snapshot of a waveform becomes one reading, its features."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import PayloadError, ReadingError
from edge_runtime.features import Features
from edge_runtime.gateway.config import Payload
from edge_runtime.gateway.excerpt import excerpt
from edge_runtime.gateway.message import Decoded
from edge_runtime.gateway.payload_json import Labels, parse_json
from edge_runtime.gateway.payload_path import Path
from edge_runtime.manifest import Waveform

_SAMPLE = frozenset((int, float, type(None)))


class Samples:
    """Snapshots (N, C) of the bundle's waveform, packed float32 or within JSON."""

    def __init__(self, payload: Payload, waveform: Waveform) -> None:
        self._length, self._channels = waveform.length, len(waveform.channels)
        self._features = Features(waveform)
        self._path = None if payload.samples is None else Path(payload.samples)
        self._rate = None if payload.sample_rate is None else Path(payload.sample_rate)
        self._labels = Labels(payload)

    def decode(self, payload: bytes, machine: str) -> list[Decoded]:
        """As `Decoder.decode`."""
        if self._path is None:
            return [Decoded(machine, None, self._row(self._unpacked(payload), None))]
        message = parse_json(payload)
        machine, time = self._labels.find(message, message, machine)
        rate = None if self._rate is None else self._rate_of(self._rate.find(message, message), self._rate)
        return [Decoded(machine, time, self._row(self._parsed(self._path.find(message, message)), rate))]

    def _unpacked(self, payload: bytes) -> npt.NDArray[np.float32]:
        size = 4 * self._length * self._channels
        if len(payload) != size:
            shape = f"{self._length} x {self._channels}"
            raise PayloadError("shape", f"expected {size} bytes ({shape} float32), got {len(payload)}")
        return np.frombuffer(payload, "<f4").reshape(self._length, self._channels)

    def _parsed(self, found: Any) -> npt.NDArray[np.float64]:
        """(N, C) of lists in lists, or of a plain list where there is one channel."""
        expected = f"expected {self._length} lists of {self._channels} samples"
        if type(found) is not list or len(found) != self._length:
            raise PayloadError(
                "shape", f"{expected}, got {'nothing there' if found is Path.MISSING else excerpt(found)}"
            )
        if self._channels == 1 and type(found[0]) is not list:
            flat = found
        else:
            for row in found:
                if type(row) is not list or len(row) != self._channels:
                    raise PayloadError("shape", f"{expected}, got {excerpt(row)} among them")
            flat = list(chain.from_iterable(found))
        if not _SAMPLE.issuperset(map(type, flat)):
            wrong = next(value for value in flat if type(value) not in _SAMPLE)
            raise PayloadError("type", f"expected numbers as samples, or null, got {excerpt(wrong)}")
        try:
            samples = np.array(flat, np.float64)
        except OverflowError:
            samples = np.array([np.inf])
        if np.isinf(samples).any():
            raise PayloadError("type", "expected samples that a double can hold, got a very large number")
        return samples.reshape(self._length, self._channels)

    def _rate_of(self, found: Any, path: Path) -> float:
        if type(found) in (int, float) and 0 < found < 1e12:
            return float(found)
        got = "found nothing there" if found is Path.MISSING else f"got {excerpt(found)}"
        raise PayloadError("type", f"expected the sample rate in Hz at {path.text}, {got}")

    def _row(self, samples: npt.NDArray[Any], rate: float | None) -> tuple[float, ...]:
        try:
            with np.errstate(invalid="ignore"):  # a signalling NaN is a missing sample like any other
                return tuple(self._features.step(samples, rate).tolist())
        except ReadingError as fault:
            raise PayloadError("shape", str(fault)) from None
