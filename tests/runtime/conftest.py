"""What the tests of the device runtime share. They need numpy, pytest, hypothesis and no more than one engine."""

from __future__ import annotations

from pathlib import Path

import handmade
import pytest
from effort import examples
from hypothesis import settings

# The same examples on every run: a test that fails fails for everybody.
settings.register_profile("runtime", deadline=None, derandomize=True, database=None, max_examples=examples(60))
settings.load_profile("runtime")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A bundle for windows (4, 2) with a numpy variant and golden readings."""
    return handmade.sealed(tmp_path / "small.anomalite")
