"""What the tests of the gateway share."""

from __future__ import annotations

from pathlib import Path

import handmade
import pytest
from effort import examples
from hypothesis import settings

settings.register_profile("gateway", deadline=None, derandomize=True, database=None, max_examples=examples(60))
settings.load_profile("gateway")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A bundle for windows (4, 2) with a numpy variant."""
    return handmade.sealed(tmp_path / "small.anomalite")
