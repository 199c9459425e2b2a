"""SHA-256 without OpenSSL.

`hashlib` loads libcrypto, which costs 3.6 MB and 3 ms at start (docs/decisions/0005-start-up-and-memory.md); CPython's own
implementation is behind it under another name in every version, and hashes a bundle in less than a millisecond.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def _find() -> Any:
    for name in ("_sha2", "_sha256", "hashlib"):  # CPython 3.12 and later, 3.11, any other Python
        try:
            return import_module(name).sha256
        except ImportError:
            continue
    raise AssertionError("unreachable: hashlib is always there")


_sha256 = _find()


def sha256(data: bytes | memoryview) -> str:
    """The SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return str(_sha256(data).hexdigest())
