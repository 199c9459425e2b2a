"""How hard the tests try.

With ANOMALITE_FEWER_EXAMPLES=1, on an emulated board, a twentieth of the random examples and a third of the longest tables of cases.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")

FEWER = os.environ.get("ANOMALITE_FEWER_EXAMPLES") == "1"


def examples(full: int) -> int:
    """How many random examples to try where `full` are enough."""
    return max(2, full // 20) if FEWER else full


def some(cases: Sequence[Case]) -> Sequence[Case]:
    """All cases, or every third of them."""
    return cases[::3] if FEWER else cases
