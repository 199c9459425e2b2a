"""Who may import whom: `edge_runtime <- training <- export`, and the device starts without anything it does not need."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from edge_runtime.engines import installed_engines

MAY_IMPORT = {
    "edge_runtime": {"edge_runtime"},
    "training": {"edge_runtime", "training"},
    "export": {"edge_runtime", "training", "export"},
}
"""Of these three packages."""
HEAVY = {
    "tensorflow",
    "keras",
    "tf_keras",
    "pandas",
    "pyarrow",
    "scipy",
    "sklearn",
    "onnx",
    "rich",
    "jinja2",
    "matplotlib",
}
"""The workstation's packages, and the extra `plot`."""
ENGINE_PACKAGES = {"onnxruntime", "ai_edge_litert", "tflite_runtime"}


def folder(package: str) -> Path:
    """Where the package is, in the checkout or installed; found without importing it."""
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent


def imported(file: Path) -> Iterator[tuple[str, bool]]:
    """The packages that a file imports anywhere, and whether at its top level."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    at_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names = [str(node.module)]
        else:
            continue
        for name in names:
            yield name.split(".")[0], id(node) in at_top


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_point_to_the_device(package: str) -> None:
    """No package imports one to its right, not even inside a function."""
    files = sorted(folder(package).rglob("*.py"))
    assert len(files) > 5
    for file in files:
        ours = {name for name, _ in imported(file)} & set(MAY_IMPORT)
        assert ours <= MAY_IMPORT[package], file


def test_commands_are_found_by_name_only() -> None:
    """The one place where the device's package knows of the others is the table of commands, as text."""
    naming = [
        (file.name, node.value)
        for file in sorted(folder("edge_runtime").rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(("training.", "export."))
    ]
    assert naming == [("cli.py", "training.cli"), ("cli.py", "export.cli"), ("cli.py", "training.evaluate_cli")]


def test_the_device_needs_numpy_and_the_standard_library() -> None:
    """Anything else is an engine, the plot's matplotlib or one of the gateway's clients, and is imported inside a function."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "edge_runtime"}
    later: dict[str, set[str]] = {}
    for file in sorted(folder("edge_runtime").rglob("*.py")):
        for name, at_top in imported(file):
            if name not in allowed:
                assert not at_top, f"{file} imports {name} at its top"
                later.setdefault(name, set()).add("gateway" if file.parent.name == "gateway" else file.name)
    assert later == {
        "onnxruntime": {"onnx.py"},
        "ai_edge_litert": {"litert.py"},
        "tflite_runtime": {"tflite_runtime.py"},
        "matplotlib": {"plot.py"},
        "paho": {"gateway"},
        "prometheus_client": {"gateway"},
    }


def test_only_its_commands_know_of_the_gateway() -> None:
    """A module outside the gateway imports none of it, so that scoring a table pays for nothing of it."""
    root = folder("edge_runtime")
    for file in sorted(root.rglob("*.py")):
        if file.parent.name == "gateway" or file.relative_to(root).as_posix() in (
            "commands/serve.py",
            "commands/replay.py",
        ):
            continue
        named = [
            str(node.module) if isinstance(node, ast.ImportFrom) else alias.name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
        assert [name for name in named if name.startswith("edge_runtime.gateway")] == [], file


def modules_after(code: str, floor: str = "import numpy") -> set[str]:
    """What is imported in a fresh process after it has run the code, beyond what the other code brings."""
    show = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    sets = []
    for each in (floor, code):
        done = subprocess.run([sys.executable, "-c", f"{each}\n{show}"], capture_output=True, text=True, check=True)
        sets.append(set(json.loads(done.stdout.splitlines()[-1])))
    return sets[1] - sets[0] - {"json"}


UNNEEDED = {
    "argparse", "asyncio", "concurrent", "csv", "difflib", "email", "getpass", "gettext", "hashlib", "http", "importlib.metadata",
    "logging", "multiprocessing", "pdb", "pickle", "sqlite3", "ssl", "tomllib", "unittest", "urllib.request", "uuid", "xml", "yaml",
}  # fmt: skip
"""Of the standard library; numpy itself brings some of them, and those are not held against us."""


@pytest.mark.heavy
def test_importing_the_runtime_imports_little() -> None:
    """No engine, nothing of the workstation, and nothing of the standard library that only some commands need."""
    new = modules_after("import edge_runtime")
    assert {name.split(".")[0] for name in new} & (HEAVY | ENGINE_PACKAGES | {"training", "export"}) == set()
    assert new & UNNEEDED == set()
    assert "edge_runtime.detector" in new


@pytest.mark.heavy
def test_opening_a_bundle_imports_one_engine() -> None:
    """Loading and scoring with one engine imports neither another nor anything of the workstation."""
    import handmade

    code = (
        "import numpy as np\nfrom edge_runtime import load\n"
        f"detector = load({str(handmade.TINY)!r}, engine='numpy')\n"
        "detector.score(np.full((9, 3), 5.0), range(0, 540, 60))"
    )
    new = modules_after(code)
    assert {name.split(".")[0] for name in new} & (HEAVY | ENGINE_PACKAGES | {"training", "export"}) == set()
    assert new & UNNEEDED == set()


FLOORS = {
    "litert": "import numpy; from ai_edge_litert import interpreter",
    "onnx": "import numpy, onnxruntime",
    "tflite": "import numpy, ctypes; from tflite_runtime import interpreter",
    "numpy": "import io, numpy; file = io.BytesIO(); numpy.savez(file, a=1); file.seek(0); numpy.load(file)['a']",
}
"""What imports all that an engine brings; for `numpy` what reading any file of arrays does."""
NEEDED = {"__future__", "_json", "_sha2", "_sha256", "edge_runtime", "errno", "importlib", "json", "zlib"}
"""All of the standard library, by first name, that a first verdict may add to numpy and the engine; `zipfile` alone would be a quarter more."""


@pytest.mark.heavy
@pytest.mark.parametrize("engine", installed_engines())
def test_a_first_verdict_adds_little_to_the_engine(engine: str) -> None:
    """From nothing to a score: a few small modules, and no part of numpy that numpy and the engine do without."""
    import handmade

    code = (
        "from edge_runtime import Reading, load\n"
        f"detector = load({str(handmade.TINY)!r}, engine={engine!r})\n"
        "for minute in range(8): verdict = detector.update(Reading(60.0 * minute, (5.0, 5.0, 5.0)))\n"
        "assert verdict.status == 'scored', verdict"
    )
    new = modules_after(code, FLOORS[engine])
    assert {name for name in new if name.split(".")[0] not in NEEDED and not name.startswith("numpy")} == set()
    assert {name for name in new if name.startswith("numpy")} <= {"numpy.typing", "numpy._typing._add_docstring"}


def test_a_command_imports_what_it_needs() -> None:
    """Scoring a table brings argparse and csv, and no package beside numpy."""
    import handmade

    new = modules_after(f"from edge_runtime.cli import main\nmain(['inspect', {str(handmade.TINY)!r}])")
    assert {name.split(".")[0] for name in new} & (HEAVY | ENGINE_PACKAGES | {"training", "export"}) == set()
    assert "argparse" in new
    assert new & {"asyncio", "http", "ssl", "sqlite3", "logging", "multiprocessing", "unittest", "csv"} == set()


@pytest.mark.parametrize("package", ["training", "export"])
def test_the_workstation_s_packages_import_no_tensorflow(package: str) -> None:
    """Importing them is cheap, so that `--help` and a missing extra are answered at once."""
    files = folder(package).rglob("*.py")
    top = {(file.name, name) for file in files for name, at_top in imported(file) if at_top}
    written_with_onnx = {"onnx_graph.py", "onnx_int8.py"}  # imported inside the functions that write a graph
    heavy = {each for each in top if each[1] in {"tensorflow", "keras", "tf_keras", "onnx"}}
    assert {each for each in heavy if each[0] not in written_with_onnx} == set()
    code = f"import pkgutil, {package}\nfor each in pkgutil.iter_modules({package}.__path__, '{package}.'):\n"
    if package == "export":
        code += "    if each.name in ('export.onnx_graph', 'export.onnx_int8'): continue\n"
    new = modules_after(code + "    __import__(each.name)\n")
    assert {name.split(".")[0] for name in new} & {"tensorflow", "keras", "tf_keras", "onnx"} == set()
