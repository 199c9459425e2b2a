"""What tests of several folders share. Nothing here imports TensorFlow, so the slim environments can load it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from demo_run import REPOSITORY, Demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run once for all tests as a user runs it."""
    out = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "examples.ims_bearing.demo", "--out", str(out)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Demo(out, done.stdout)
