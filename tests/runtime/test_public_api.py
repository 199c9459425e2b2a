"""The public API, declared once more: changing it is a decision."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

import edge_runtime
from edge_runtime import errors

PUBLIC = [
    "Alert", "AnomaliteError", "BundleError", "Detector", "EngineError", "ExportError", "ExtraMissingError", "InputError",
    "OutputError", "PayloadError", "Reading", "ReadingError", "RunError", "SchemaError", "StateError", "StoreError", "TableError",
    "TrainingError", "Verdict", "Verdicts", "load",
]  # fmt: skip


def test_the_public_names() -> None:
    """Exactly these, each there and documented."""
    assert edge_runtime.__all__ == PUBLIC
    for name in PUBLIC:
        documentation = inspect.getdoc(getattr(edge_runtime, name))
        assert documentation, name
        assert documentation.strip()


def test_every_error_is_public_and_drawn() -> None:
    """Each error class is exported, and is in the tree at the top of `errors.py` where its bases put it."""
    classes = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
    assert set(classes) <= set(PUBLIC)
    lines = str(errors.__doc__).splitlines()
    depth = {}
    for line in lines:
        word = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ").split()
        if word and word[0] in classes:
            depth[word[0]] = line.index(word[0])
    assert set(depth) == set(classes)
    for name, each in classes.items():
        if name != "AnomaliteError":
            (base,) = each.__bases__
            assert depth[base.__name__] == depth[name] - 4


def test_every_module_class_and_function_is_documented() -> None:
    """What has no leading underscore has a docstring, in the whole package."""
    spec = find_spec("edge_runtime")
    assert spec is not None
    assert spec.origin is not None
    undocumented = []
    for file in sorted(Path(spec.origin).parent.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in [tree, *tree.body]:
            for each in [node, *(node.body if isinstance(node, ast.ClassDef) else [])]:
                if isinstance(each, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                    name = getattr(each, "name", file.name)
                    is_public = not name.startswith("_") and not getattr(node, "name", "").startswith("_")
                    is_engine_method = name in ("run", "close")  # documented in the protocol `Engine`
                    is_overload = any(
                        "overload" in ast.dump(decorator) for decorator in getattr(each, "decorator_list", [])
                    )
                    if is_public and not is_engine_method and not is_overload and not ast.get_docstring(each):
                        undocumented.append(f"{file.name}: {name}")
    assert undocumented == []


def test_types_are_shipped() -> None:
    """`py.typed` is beside the modules."""
    assert (Path(str(edge_runtime.__file__)).parent / "py.typed").exists()
