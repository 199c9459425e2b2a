"""What is kept of an alert, as bytes."""

from __future__ import annotations

import numpy as np
import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.errors import StoreError
from edge_runtime.gateway.evidence import Evidence, pack, unpack
from edge_runtime.gateway.past import Past

numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def evidences(draw: st.DrawFn) -> Evidence:
    """Any."""
    channels = tuple(draw(st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True)))
    count = draw(st.integers(0, 20))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = np.where(rng.random((count, len(channels))) < 0.1, np.nan, rng.normal(0, 1e3, (count, len(channels))))
    past = Past(draw(st.binary(max_size=40)), rng.integers(-(2**60), 2**60, count), values)
    text = st.text(max_size=10)
    shares = {name: draw(numbers) for name in channels}
    return Evidence(
        draw(text), draw(text), draw(text), draw(text), draw(text), channels, draw(st.integers(-(2**60), 2**60)),
        draw(numbers), draw(numbers), shares, past,
    )  # fmt: skip


@given(evidence=evidences())
def test_it_comes_back_as_it_was(evidence: Evidence) -> None:
    """Every number to the bit, missing values and any names included."""
    back = unpack(pack(evidence))
    nothing = Past(b"", np.empty(0), np.empty(0))
    assert back._replace(past=nothing) == evidence._replace(past=nothing)
    assert list(back.contributions) == list(evidence.contributions)
    assert back.past.state == evidence.past.state
    assert back.past.times.tobytes() == evidence.past.times.tobytes()
    assert back.past.values.tobytes() == evidence.past.values.tobytes()
    assert back.past.values.shape == evidence.past.values.shape


@settings(max_examples=examples(150))
@given(evidence=evidences(), place=st.integers(0), bit=st.integers(0, 7), is_cut=st.booleans())
def test_damaged_bytes_are_refused(evidence: Evidence, place: int, bit: int, is_cut: bool) -> None:
    """One bit, or an end that is missing: an error, never other numbers."""
    content = bytearray(pack(evidence))
    if is_cut:
        del content[place % len(content) :]
    else:
        content[place % len(content)] ^= 1 << bit
    with pytest.raises(StoreError, match="evidence of"):
        unpack(bytes(content))


@settings(max_examples=examples(100))
@given(content=st.binary(max_size=60))
def test_anything_else_is_refused(content: bytes) -> None:
    """Another file, another version, bytes from nowhere behind the right beginning."""
    for each in (content, b"anomalite evidence 2\n" + content, b"anomalite evidence 1\n" + content):
        with pytest.raises(StoreError):
            unpack(each)
