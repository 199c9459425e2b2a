"""How hard the tests try: with ANOMALITE_FEWER_EXAMPLES=1 a twentieth of the random examples, for an emulated board."""

from __future__ import annotations

import os

FEWER = os.environ.get("ANOMALITE_FEWER_EXAMPLES") == "1"


def examples(full: int) -> int:
    """How many random examples to try where `full` are enough."""
    return max(2, full // 20) if FEWER else full
