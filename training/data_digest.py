"""The SHA-256 of data files, by which a run knows again what it was trained on."""

from __future__ import annotations

import hashlib
from pathlib import Path


def data_sha256(path: Path) -> str:
    """Of a file, or of the names and hashes of a folder's CSV files. Raises `OSError`."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv")
        return hashlib.sha256("".join(f"{file.name} {data_sha256(file)}\n" for file in files).encode()).hexdigest()
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
