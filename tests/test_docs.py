"""What the documentation shows is run, and what it lists is complete."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import made_status
import numpy as np
import pytest
from demo_run import REPOSITORY, Demo

from edge_runtime.cli import COMMANDS
from edge_runtime.errors import SchemaError
from edge_runtime.gateway.config_file import parse_config as parse_gateway_config
from edge_runtime.gateway.exposition import Exposition
from edge_runtime.gateway.metrics import Metrics
from edge_runtime.gateway.seen import Seen
from edge_runtime.tables import read_table
from training.config import Config, parse_config

README = (REPOSITORY / "README.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, demo: Demo) -> Path:
    """A folder as the README's reader has it: the demo's files and the examples."""
    (tmp_path / "runs").symlink_to(demo.out)
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    (tmp_path / "ims_bearing.anomalite").symlink_to(demo.bundle)
    return tmp_path


def test_the_python_of_the_readme_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the bearing's readings as `values` and `times`; it prints the last verdict and the one alarm."""
    monkeypatch.chdir(folder)
    table = read_table("examples/ims_bearing/readings.csv", "timestamp", None)
    (block,) = _blocks("python")
    names: dict[str, object] = {"values": table.values, "times": table.datetimes}
    exec(block, names)  # noqa: S102 - the README's own code
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("scored ")
    assert printed[0].endswith(" active")
    assert len([line for line in printed if "alarm raised" in line]) == 1
    assert len(typing.cast("list[object]", names["verdicts"])) == 2
    assert np.isfinite(table.values).all()


def test_the_commands_of_the_readme_run(folder: Path) -> None:
    """Every `$` line, in order, exits with 0 and answers something."""
    (block,) = _blocks("console")
    lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
    assert len(lines) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in lines:
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout, line
        assert done.stderr == "", line


def test_the_configuration_of_the_readme_is_whole() -> None:
    """It is all that is needed, and its keys are the only ones without a default."""
    _, block = _blocks("toml")
    config = parse_config(block.encode(), "README.md")
    assert (config.name, config.data.files, config.sampling.period_s) == ("pump", ("normal.csv",), 1.0)
    for line in ('name = "pump"\n', "period_s = 1 ", "longest_gap_s = 10 ", 'files = ["normal.csv"] '):
        without = "\n".join(each for each in block.split("\n") if not f"{each}\n".startswith(line))
        with pytest.raises(SchemaError, match="expected the key"):
            parse_config(without.encode(), "README.md")


def test_the_gateway_of_the_readme_is_whole() -> None:
    """Its configuration is all that is needed, and is what the commands around it are about."""
    block, _ = _blocks("toml")
    config = parse_gateway_config(block.encode(), "README.md")
    assert config.http is not None
    for told in (
        f"/{config.groups[0].bundle} ",
        f"http://127.0.0.1:{config.http.port} ",
        "`/etc/anomalite/gateway.toml`",
    ):
        assert told in README, told
    unit = (REPOSITORY / "edge_runtime" / "gateway" / "service.py").read_text()
    assert f'folder = "{config.storage.folder}"' in unit


def test_the_gateway_s_page_lists_every_metric() -> None:
    """By the name under which Prometheus has it."""
    page = (REPOSITORY / "docs" / "gateway.md").read_text()
    seen = Seen()
    seen.publish(made_status.plant())
    names = set(re.findall(r"^# TYPE (anomalite_\w+) ", Exposition(Metrics(), seen).text().decode(), re.MULTILINE))
    assert len(names) > 20
    assert {name for name in names if f"`{name}`" not in page} == set()
    rules = set(re.findall(r"\banomalite_[a-z_]+\b", page.split("```yaml")[1].split("```")[0]))
    assert rules <= names


def test_the_readme_names_every_command() -> None:
    """A command that is not in the README's table does not exist for a user."""
    for name in COMMANDS:
        assert f"`anomalite {name} " in README


def test_every_file_a_document_links_to_exists() -> None:
    """Relative links in every Markdown file of the repository."""
    documents = [
        path
        for path in REPOSITORY.rglob("*.md")
        if not any(part == "runs" or part.startswith(".") for part in path.parts[len(REPOSITORY.parts) :])
    ]
    assert len(documents) >= 8
    for document in documents:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.relative_to(REPOSITORY)}: {link}"


def test_the_configuration_page_lists_every_key() -> None:
    """Each field of each section, by name."""
    page = (REPOSITORY / "docs" / "configuration.md").read_text()
    for name in _keys(Config):
        assert re.search(rf"\b{name}\b", page), name


def _keys(cls: object) -> set[str]:
    keys: set[str] = set()
    if dataclasses.is_dataclass(cls):
        for field, kind in typing.get_type_hints(cls).items():
            keys |= {field} | _keys(kind)
    for inner in typing.get_args(cls):
        keys |= _keys(inner)
    return keys


def test_the_tree_in_the_readme_is_the_tree() -> None:
    """Every file or folder it names is there."""
    tree = README.split("## Where things are")[1].split("```")[1]
    for line in tree.splitlines()[1:]:
        folder = line.split()[0] if line and not line.startswith(" ") else None
        if folder:
            top = folder
            assert (REPOSITORY / folder).is_dir(), folder
        for name in re.findall(r"\b[a-z_]+\.py\b|\b[a-z_]+/(?=\s)", line[20:] if not folder else ""):
            assert (REPOSITORY / top / name).exists(), f"{top}{name}"
        if not folder:
            for name in re.findall(r"^  ((?:[a-z_]+(?:\.py|/) ?)+)", line):
                for each in name.split():
                    assert (REPOSITORY / top / each).exists(), f"{top}{each}"
