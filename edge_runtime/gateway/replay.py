"""Computing an alert again from its evidence: from the same state and readings the same score, bit for bit."""

from __future__ import annotations

from math import isfinite
from struct import pack
from typing import Any, NamedTuple

import numpy as np

from edge_runtime.bundle import Bundle
from edge_runtime.errors import StoreError
from edge_runtime.gateway.evidence import Evidence, unpack
from edge_runtime.gateway.steady import open_steady
from edge_runtime.gateway.store_read import open_reader
from edge_runtime.readings import RAISED, from_microseconds
from edge_runtime.state import recall


class Outcome(NamedTuple):
    """What is made of the readings now."""

    evidence: Evidence
    engine: str
    variant: str
    score: float | None
    """None: the reading that raised the alert has no score now."""
    threshold: float | None
    contributions: dict[str, float]
    is_raised: bool
    window: int
    """The last so many of the readings are the window that was scored, or as many of it as there are."""

    @property
    def is_same(self) -> bool:
        """Whether all numbers are those of then, to the bit."""
        then = self.evidence
        if self.score is None or self.threshold is None or not self.is_raised:
            return False
        if self.contributions.keys() != then.contributions.keys():
            return False
        pairs = [(self.score, then.score), (self.threshold, then.threshold)]
        pairs += [(share, then.contributions[name]) for name, share in self.contributions.items()]
        return all(pack("<d", now) == pack("<d", before) for now, before in pairs)

    def to_json(self) -> dict[str, Any]:
        """All of it; a missing value is null, an infinite one text."""
        then, past = self.evidence, self.evidence.past
        readings = [
            {
                "time": from_microseconds(time).isoformat(),
                "values": [_number(value) for value in values],
            }
            for time, values in zip(
                past.times.tolist()[-self.window :], past.values.tolist()[-self.window :], strict=True
            )
        ]
        return {
            "same": self.is_same,
            "machine": then.machine,
            "time": from_microseconds(then.time).isoformat(),
            "bundle": then.bundle,
            "digest": then.digest,
            "channels": then.channels,
            "then": {
                "engine": then.engine,
                "variant": then.variant,
                "score": then.score,
                "threshold": then.threshold,
                "contributions": then.contributions,
            },
            "now": {
                "engine": self.engine,
                "variant": self.variant,
                "score": self.score,
                "threshold": self.threshold,
                "contributions": self.contributions,
                "raised": self.is_raised,
            },
            "readings": readings,
        }


def _number(value: float) -> float | str | None:
    """As JSON can carry it."""
    return value if isfinite(value) else None if value != value else str(value)


def read_evidence(folder: str, alert: str) -> Evidence:
    """The evidence of an alert in the store in `folder`, whether a gateway has it open or not. Raises `StoreError`."""
    reader = open_reader(folder)
    try:
        known, content = reader.alert(alert), reader.evidence(alert)
    finally:
        reader.close()
    if known is None:
        raise StoreError(f"{folder}: expected the id of an alert that is stored there, got {alert!r}")
    if content is None:
        raise StoreError(f"{folder}: {alert}: the readings that raised it are not stored: there was no room for them")
    return unpack(content)


def open_bundle(evidence: Evidence, path: str | None) -> Bundle:
    """The bundle that the alert came from, at `path` or where it was. Raises `BundleError`, and `StoreError` for another one."""
    bundle = Bundle.read(evidence.bundle if path is None else path)
    if bundle.digest != evidence.digest:
        raise StoreError(
            f"{bundle.source}: expected the bundle that raised the alert, digest {evidence.digest[:12]}, got digest "
            f"{bundle.digest[:12]}: name the file with --bundle"
        )
    return bundle


def replay(evidence: Evidence, bundle: Bundle, engine: str | None = None, variant: str | None = None) -> Outcome:
    """Score the readings again, on the engine and variant of then unless others are named.

    Raises `EngineError`, `ExtraMissingError`, `StateError` for a state of another version.
    """
    if engine is None:
        engine, variant = evidence.engine, variant or evidence.variant
    detector = open_steady(bundle, engine, variant)
    past = evidence.past
    recall(detector, 0, past.state)
    verdicts = detector.update_many(np.zeros(len(past.times), np.int64), past.values, past.times.view("datetime64[us]"))
    detector.close()
    rows = np.nonzero(verdicts.scored & (past.times == evidence.time))[0]
    now = Outcome(
        evidence,
        detector.engine_name,
        detector.variant_name,
        None,
        None,
        {},
        False,
        bundle.manifest.preparation.readings_needed,
    )
    if not len(rows):
        return now
    row = int(rows[-1])
    return now._replace(
        score=float(verdicts.scores[row]),
        threshold=float(verdicts.thresholds[row]),
        contributions=dict(zip(verdicts.channels, verdicts.contributions[row].tolist(), strict=True)),
        is_raised=bool(verdicts.alarm_codes[row] == RAISED),
    )
