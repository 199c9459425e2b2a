"""The choice file, `NAME.anomalite.choice.json`: the engine and variant of a bundle that was the fastest on one board, as measured there.

`anomalite bench --choose` writes it beside the bundle, and `load` takes what it says in place of the bundle's own order, if it was
measured on this kind of board with this very bundle. Without such a file nothing here is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from os import PathLike, fspath

from edge_runtime.bundle import Bundle
from edge_runtime.cpu import board_name, cpu_kind
from edge_runtime.engines import ENGINES, is_installed
from edge_runtime.errors import EngineError, SchemaError
from edge_runtime.files import write_whole
from edge_runtime.manifest import Variant
from edge_runtime.opening import CHOICE_SUFFIX, LARGEST_CHOICE, obstacle, read_choice_text
from edge_runtime.schema import decode, encode

FORMAT = 1
"""The version of the file this module writes and reads."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, for which bundle and which board, and by which figures."""

    format: int
    engine: str
    variant: str
    digest: str
    """Of the bundle, the SHA-256 it ends with: another bundle under the same name is another model."""
    board: str
    """The board's model, else its CPU (`cpu.board_name`)."""
    cpu_kind: str
    """As in `cpu.py`: the same board runs 32-bit or 64-bit programs."""
    us_p50: float
    """A reading's typical time in microseconds, as it was measured."""
    us_p99: float
    peak_mb: float
    """Peak memory above bare Python."""
    time: str
    """When it was measured, ISO 8601 UTC."""
    versions: dict[str, str] = field(default_factory=dict)
    """Of the packages it was measured with, for people: loading does not look at them."""


def write_choice(path: str | PathLike[str], choice: Choice) -> str:
    """Write the choice beside the bundle at `path`, whole or not at all; returns the file's path. Raises `OutputError`."""
    target = f"{fspath(path)}{CHOICE_SUFFIX}"
    write_whole(target, (json.dumps(encode(choice), indent=1, allow_nan=False) + "\n").encode())
    return target


def read_choice(path: str | PathLike[str]) -> Choice | None:
    """The choice beside the bundle at `path`; None if there is no such file. Raises `EngineError` if it is damaged."""
    text = read_choice_text(path)
    return None if text is None else parse_choice(text, f"{fspath(path)}{CHOICE_SUFFIX}")


def parse_choice(text: bytes, source: str) -> Choice:
    """Decode a choice file's bytes. Raises `EngineError` that names `source`, the fault and what to do."""
    try:
        if len(text) > LARGEST_CHOICE:
            raise SchemaError(source, "$", f"expected at most {LARGEST_CHOICE} bytes, got a larger file")
        data = json.loads(text)
        if isinstance(data, dict) and data.get("format") != FORMAT:
            raise SchemaError(source, "$.format", f"expected {FORMAT}, got {data.get('format')!r}")
        return decode(Choice, data, source)
    except SchemaError as fault:
        what = f"{fault.fault} - at {fault.path}"
    except (ValueError, RecursionError) as fault:
        what = f"expected JSON, got: {fault}"
    raise EngineError(f"{source}: {what}: delete the file, or write it again with anomalite bench --choose")


def why_ignored(choice: Choice, bundle: Bundle) -> str | None:
    """Why the choice does not apply to this bundle on this machine; None if it does."""
    if choice.digest != bundle.digest:
        return f"it is for a bundle with the digest {choice.digest[:12]}, this is {bundle.digest[:12]}"
    for of, board in ((choice.board, board_name()), (choice.cpu_kind, cpu_kind())):
        if of != board:
            return f"it was measured on {of}, this is {board}"
    variant = next((each for each in bundle.manifest.variants if each.name == choice.variant), None)
    if variant is None or choice.engine not in variant.engines or choice.engine not in ENGINES:
        return f"the bundle has no {choice.variant} for the engine {choice.engine}"
    if not is_installed(choice.engine):
        return f"the engine {choice.engine} is not installed"
    return obstacle(variant, choice.engine, cpu_kind())


def chosen_pair(text: bytes, source: str, bundle: Bundle) -> tuple[str, Variant] | None:
    """The engine's name and the variant that a choice file's bytes name; None if it does not apply. Raises `EngineError`."""
    choice = parse_choice(text, source)
    return (choice.engine, bundle.variant(choice.variant)) if why_ignored(choice, bundle) is None else None


def choice_text(path: str | PathLike[str], bundle: Bundle) -> str:
    """In a line for people, what the choice file beside the bundle says and whether `load` takes it."""
    try:
        choice = read_choice(path)
    except EngineError as fault:
        return f"DAMAGED, loading fails unless an engine or a variant is named: {fault}"
    if choice is None:
        return "none; anomalite bench --choose makes one"
    says = f"{choice.variant} on {choice.engine}, {choice.us_p50:.3g} us a reading on {choice.board}, {choice.time}"
    reason = why_ignored(choice, bundle)
    return f"{says}; applies here" if reason is None else f"{says}; IGNORED here: {reason}"
