"""The choice file beside a bundle: when `load` takes what it says, when it does not, and what is said of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import pytest

import edge_runtime.choice as choice_module
from edge_runtime.bundle import Bundle, seal
from edge_runtime.choice import Choice, choice_text, read_choice, why_ignored, write_choice
from edge_runtime.cli import main
from edge_runtime.cpu import board_name, cpu_kind
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Requires
from edge_runtime.opening import LARGEST_CHOICE, load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bundle of two variants for the numpy engine; the first is the one that is taken without a choice."""
    variants = tuple(handmade.variant(name, f"{name}.npz", "numpy") for name in ("first", "second"))
    models = {each.name: handmade.lstm_model(8, 3, units) for units, each in enumerate(variants, 2)}
    seal(tmp_path / "pump.anomalite", handmade.manifest(variants=variants), models, None)
    return tmp_path / "pump.anomalite"


def choice_of(path: Path, **changes: Any) -> Choice:
    """The second variant, measured here with this bundle."""
    made = Choice(
        1, "numpy", "second", Bundle.read(path).digest, board_name(), cpu_kind(), 50.0, 80.0, 20.5,
        "2026-01-01T00:00:00+00:00", {"numpy": "2.4.6"},
    )  # fmt: skip
    return replace(made, **changes)


def test_auto_takes_what_was_measured_here(path: Path) -> None:
    """And the bundle's own order without the file; what was written is read back."""
    assert load(path).variant_name == "first"
    assert write_choice(path, choice_of(path)) == f"{path}.choice.json"
    assert read_choice(path) == choice_of(path)
    assert (load(path).engine_name, load(str(path)).variant_name) == ("numpy", "second")
    assert sorted(each.name for each in path.parent.iterdir()) == ["pump.anomalite", "pump.anomalite.choice.json"]


def test_who_names_an_engine_or_a_variant_gets_it(path: Path) -> None:
    """The file is not even read."""
    write_choice(path, choice_of(path))
    assert load(path, engine="numpy").variant_name == "first"
    assert load(path, variant="first").variant_name == "first"
    Path(f"{path}.choice.json").write_text("damaged")
    assert load(path, engine="numpy").variant_name == "first"
    assert load(path, variant="second").variant_name == "second"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"digest": "0" * 64}, r"it is for a bundle with the digest 000000000000, this is [0-9a-f]{12}"),
        ({"board": "Raspberry Pi 9"}, r"it was measured on Raspberry Pi 9, this is .+"),
        ({"cpu_kind": "armv5"}, r"it was measured on armv5, this is .+"),
        ({"variant": "third"}, r"the bundle has no third for the engine numpy"),
        ({"engine": "onnx"}, r"the bundle has no second for the engine onnx"),
        ({"engine": "tensorrt"}, r"the bundle has no second for the engine tensorrt"),
    ],
)
def test_a_choice_for_another_machine_or_bundle_is_ignored(path: Path, changes: dict[str, Any], reason: str) -> None:
    """The ordinary one is taken, and inspect says why."""
    write_choice(path, choice_of(path, **changes))
    assert load(path).variant_name == "first"
    line = choice_text(path, Bundle.read(path))
    pattern = rf"(second|third) on \w+, 50 us a reading on .+, 2026-01-01T00:00:00\+00:00; IGNORED here: {reason}"
    assert re.fullmatch(pattern, line), line


def test_a_choice_that_cannot_run_here_is_ignored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that was uninstalled since; a variant that the manifest rules out for this CPU."""
    tiny = path.parent / "tiny.anomalite"
    shutil.copy(handmade.TINY, tiny)
    choice = choice_of(tiny, engine="onnx", variant="onnx-float32")
    write_choice(tiny, choice)
    with monkeypatch.context() as patch:
        patch.setattr("edge_runtime.engines.find_spec", lambda package: None)
        assert why_ignored(choice, Bundle.read(tiny)) == "the engine onnx is not installed"
        assert load(tiny).engine_name == "numpy"
    bundle = Bundle.read(path)
    second = replace(bundle.variant("second"), requires=Requires(cpus=("armv9",)))
    variants = (bundle.variant("first"), second)
    models = {each.name: bundle.members[each.file] for each in variants}
    other = seal(path, replace(bundle.manifest, variants=variants), models, None)
    write_choice(path, choice_of(path))
    assert why_ignored(choice_of(path), other) == f"it is for armv9, this is {cpu_kind()}"
    assert load(path).variant_name == "first"


def test_another_board_of_the_same_kind_ignores_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card moved from a Pi 5 to a Pi 4, or from a 64-bit to a 32-bit system."""
    write_choice(path, choice_of(path, board="Raspberry Pi 5 Model B Rev 1.0", cpu_kind="aarch64-fp16"))
    for board, kind, expected in (
        ("Raspberry Pi 5 Model B Rev 1.0", "aarch64-fp16", "second"),
        ("Raspberry Pi 5 Model B Rev 1.0", "armv7l", "first"),
        ("Raspberry Pi 4 Model B Rev 1.4", "aarch64-fp16", "first"),
    ):
        monkeypatch.setattr(choice_module, "board_name", lambda board=board: board)
        monkeypatch.setattr(choice_module, "cpu_kind", lambda kind=kind: kind)
        assert load(path).variant_name == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "expected JSON, got: Expecting value"),
        (b"\xff", "expected JSON, got: 'utf-8' codec"),
        (b"[" * 5000, "expected JSON, got: "),
        (b"[]", r"expected a table, got a list - at \$"),
        (b'{"format": 2}', r"expected 1, got 2 - at \$\.format"),
        (b'{"format": 1, "engine": "numpy"}', r"expected the key 'variant', found none - at \$"),
        (b" " * (LARGEST_CHOICE + 1), rf"expected at most {LARGEST_CHOICE} bytes, got a larger file - at \$"),
    ],
)
def test_a_damaged_file_is_one_line_that_says_what_to_do(
    path: Path, text: bytes, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For load an error; inspect still shows the bundle, and the fault in its line."""
    Path(f"{path}.choice.json").write_bytes(text)
    remedy = "delete the file, or write it again with anomalite bench --choose"
    with pytest.raises(EngineError, match=rf"pump\.anomalite\.choice\.json: {fault}.*: {remedy}$") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert main(["inspect", str(path)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"measured choice  DAMAGED, loading fails unless an engine or a variant is named: {path}")


def test_every_field_is_needed_and_checked(path: Path) -> None:
    """Left out, of another type, or one too many."""
    target = Path(write_choice(path, choice_of(path)))
    data = json.loads(target.read_text())
    for name in data:
        for changed in (
            {key: value for key, value in data.items() if key != name or key == "versions"},
            {**data, name: [1]},
            {**data, "newer": 1},
        ):
            if changed == data:  # only the versions may be left out
                continue
            target.write_text(json.dumps(changed))
            with pytest.raises(EngineError, match=r"choice\.json: .* - at \$"):
                load(path)


def test_a_file_that_cannot_be_read_is_said(path: Path) -> None:
    """It is there, so somebody wanted it."""
    Path(f"{path}.choice.json").mkdir()
    with pytest.raises(
        EngineError, match=r"choice\.json: cannot be read: Is a directory: delete it, or make it readable"
    ):
        load(path)


def test_a_bundle_with_the_longest_name_still_loads(path: Path) -> None:
    """There is no room for a choice beside it."""
    longest = path.rename(path.with_name("p" * 245 + ".anomalite"))
    assert load(longest).variant_name == "first"


def test_inspect_says_what_is_chosen(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its last line."""
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "measured choice  none; anomalite bench --choose makes one"
    write_choice(path, choice_of(path))
    assert main(["inspect", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"measured choice  second on numpy, 50 us a reading on {board_name()}, 2026-01-01T00:00:00+00:00; applies here"
    )


@pytest.mark.heavy
def test_without_the_file_nothing_is_imported_for_it(path: Path) -> None:
    """With it, nothing but what reads it: a start pays for no version and no clock."""
    code = (
        "import sys; from edge_runtime import load; load(sys.argv[1]); "
        "print(sorted({'edge_runtime.choice', 'edge_runtime.bench', 'importlib.metadata', 'argparse'} & set(sys.modules)))"
    )
    for expected in ([], ["edge_runtime.choice"]):
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == str(expected)
        write_choice(path, choice_of(path))
