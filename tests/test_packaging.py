"""What is built and installed is what is in the repository."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from demo_run import REPOSITORY

from edge_runtime.engines import ENGINES

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def test_every_package_is_listed() -> None:
    """A flat layout is not discovered: a folder that is not listed would be missing from the wheel."""
    tops = ("edge_runtime", "training", "export")
    found = {
        str(path.parent.relative_to(REPOSITORY)).replace("/", ".")
        for top in tops
        for path in (REPOSITORY / top).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


def test_what_is_no_python_is_packed_too() -> None:
    """Markers of types, the report's template, the gateway's page: a file that is not listed would be missing from the wheel."""
    listed = PROJECT["tool"]["setuptools"]["package-data"]
    packed = {path for package in listed for pattern in listed[package] for path in _folder(package).glob(pattern)}
    there = {path for package in PROJECT["tool"]["setuptools"]["packages"] for path in _folder(package).rglob("*.*")}
    assert packed == {path for path in there if path.suffix not in (".py", ".pyc")}
    for package in listed:
        for pattern in listed[package]:
            assert list(_folder(package).glob(pattern)), f"{package} has no {pattern}"


def _folder(package: str) -> Path:
    return REPOSITORY.joinpath(*package.split("."))


def test_numpy_is_the_only_requirement() -> None:
    """Everything else is an extra."""
    assert [re.split(r"[<>=!~ ]", requirement)[0] for requirement in PROJECT["project"]["dependencies"]] == ["numpy"]


def test_every_engine_has_its_extra() -> None:
    """The one its error message tells a user to install."""
    extras = PROJECT["project"]["optional-dependencies"]
    for engine in ENGINES.values():
        if engine.extra is not None:
            packages = " ".join(extras[engine.extra]).replace("-", "_")
            assert str(engine.package) in packages


def test_the_gateway_brings_nothing_of_the_workstation() -> None:
    """A client for MQTT and one for Prometheus, with an upper bound each; the development environment has them too."""
    extras = PROJECT["project"]["optional-dependencies"]
    assert [re.split(r"[<>=!~ ]", requirement)[0] for requirement in extras["gateway"]] == [
        "paho-mqtt",
        "prometheus-client",
    ]
    assert all(",<" in requirement for requirement in extras["gateway"])
    assert "anomalite[train,gateway]" in extras["dev"]


def test_constraints_are_exact_and_name_no_address() -> None:
    """`name==version`, a marker perhaps, and nothing else."""
    files = sorted((REPOSITORY / "constraints").glob("*.txt"))
    assert [file.name for file in files] == ["dev.txt", "pi-32bit.txt", "pi-litert1.txt", "runtime.txt", "tflite.txt"]
    for file in files:
        lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
        assert lines
        for line in lines:
            assert re.fullmatch(
                r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+( *; *python_version.*)?", line.split(" #")[0].strip()
            ), line
