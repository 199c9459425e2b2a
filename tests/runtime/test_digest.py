"""SHA-256 without OpenSSL is SHA-256."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.digest import sha256


@given(data=st.binary(max_size=300), times=st.sampled_from([1, 7, 1000]))
def test_the_same_digits_as_hashlib(data: bytes, times: int) -> None:
    """Of bytes and of a view of them."""
    expected = hashlib.sha256(data * times).hexdigest()
    assert sha256(data * times) == sha256(memoryview(data * times)) == expected
