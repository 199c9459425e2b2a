"""What the tests of training share: small configurations, made-up readings, and one trained run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The same examples on every run: a test that fails fails for everybody.
settings.register_profile("training", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("training")

ROWS, LENGTH = 240, 4

CONFIG = """\
name = "pump"
seed = 7

[data]
files = ["readings.csv"]
time_column = "time"

[sampling]
period_s = 60
longest_gap_s = 180

[window]
length = 4

[model]
family = "dense_autoencoder"
hidden = [6]
latent = 3

[fit]
epochs = 3
batch_size = 64
learning_rate = 0.01
"""


class Workshop:
    """A folder with a configuration and its readings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.write_config()
        self.write_readings()

    @property
    def config(self) -> Path:
        return self.folder / "train.toml"

    def write_config(self, *changes: tuple[str, str]) -> Path:
        """Write `CONFIG` with texts replaced; an old text that is not in it is a mistake in the test."""
        text = CONFIG
        for old, new in changes:
            assert text.count(old) == 1, f"{old!r} is not once in the configuration"
            text = text.replace(old, new)
        self.config.write_text(text)
        return self.config

    def write_readings(
        self,
        name: str = "readings.csv",
        *,
        first_row: int = 0,
        values: npt.NDArray[np.float64] | None = None,
        channels: tuple[str, ...] = ("flow", "pressure"),
    ) -> Path:
        """Write a CSV file with a row a minute since 2024-01-01; NaN becomes an empty cell."""
        values = normal_readings() if values is None else values
        start = np.datetime64("2024-01-01T00:00:00")
        lines = [",".join(("time", *channels))]
        for row, numbers in enumerate(values.tolist(), first_row):
            cells = ("" if np.isnan(number) else repr(number) for number in numbers)
            lines.append(",".join((str(start + np.timedelta64(row, "m")), *cells)))
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        return path


def normal_readings(rows: int = ROWS) -> npt.NDArray[np.float64]:
    """A made-up pump (rows, 2): two channels that rise and fall together, with a little noise."""
    rng = np.random.default_rng(5)
    phase = 2 * np.pi * np.arange(rows) / 17
    clean = np.column_stack((20 + 3 * np.sin(phase), 6 + 0.5 * np.cos(phase)))
    return clean + rng.normal(0, (0.3, 0.05), (rows, 2))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A configuration and readings that train."""
    return Workshop(tmp_path / "workshop")


@pytest.fixture(scope="session")
def make_workshop() -> Callable[[Path], Workshop]:
    """Makes a workshop in a folder of the test's choice."""
    return Workshop


@pytest.fixture(scope="session")
def make_normal() -> Callable[[int], npt.NDArray[np.float64]]:
    """Makes normal readings (rows, 2)."""
    return normal_readings


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, trained once; tests that change it take a copy."""
    from training import train

    shop = Workshop(tmp_path_factory.mktemp("trained"))
    return train(shop.config, shop.folder / "run").path
