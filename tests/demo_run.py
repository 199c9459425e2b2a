"""What the demo wrote and printed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Demo:
    """What the demo wrote and printed."""

    out: Path
    printed: str

    @property
    def run_directory(self) -> Path:
        return self.out / "ims_bearing"

    @property
    def bundle(self) -> Path:
        return self.out / "ims_bearing.anomalite"
