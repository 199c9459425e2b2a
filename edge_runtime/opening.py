"""A bundle in, a detector out: which engine and which of the bundle's variants it runs on."""

from __future__ import annotations

import errno
from os import PathLike, fspath

from edge_runtime.bundle import Bundle
from edge_runtime.cpu import cpu_kind
from edge_runtime.detector import Detector
from edge_runtime.engines import ENGINES, Options, installed_engines, open_engine
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Variant

CHOICE_SUFFIX = ".choice.json"
"""Of the file beside a bundle in which `anomalite bench --choose` keeps what is the fastest on this board (`choice.py`)."""
LARGEST_CHOICE = 16 * 2**10
"""A choice file larger than this (bytes) is damaged."""


def load(
    path: str | PathLike[str],
    *,
    engine: str = "auto",
    variant: str | None = None,
    machines: int = 1,
    batch: int | None = None,
    threads: int = 1,
) -> Detector:
    """Open a bundle for scoring.

    `engine`: "auto" takes what `anomalite bench --choose` measured to be the fastest on this board and wrote to
    `NAME.anomalite.choice.json` beside the bundle; without that file, or where it is for another board, another bundle or an
    engine that is not installed, what the bundle says is the fastest on this kind of CPU among the installed ones. A name insists
    on that engine, and `variant` on one of the bundle's variants: then the file is not read. `machines`: how many machines share the
    model; `batch`: the most windows in one engine call (None: the engine's best; 1 gives the same bits however readings arrive);
    `threads`: the most threads of an engine call, of which one is the caller's. Raises `BundleError`, `EngineError` (a damaged
    choice file is one), `ExtraMissingError`.
    """
    bundle = Bundle.read(path)
    name, chosen = variant_for(path, bundle, engine, variant)
    return open_variant(bundle, name, chosen, machines=machines, batch=batch, threads=threads)


def variant_for(
    path: str | PathLike[str], bundle: Bundle, engine: str = "auto", variant: str | None = None
) -> tuple[str, Variant]:
    """The engine's name and the variant `load` opens of the bundle at `path`. Raises `EngineError`."""
    pair = _chosen_here(path, bundle) if engine == "auto" and variant is None else None
    return choose_variant(bundle, engine, variant) if pair is None else pair


def open_variant(
    bundle: Bundle, engine: str, variant: Variant, *, machines: int = 1, batch: int | None = None, threads: int = 1
) -> Detector:
    """A detector on one variant of the bundle and one engine. Raises `EngineError`, `ExtraMissingError`."""
    manifest = bundle.manifest.for_variant(variant)
    options = Options(threads, variant.half)
    try:
        opened = open_engine(
            engine, bundle.members[variant.file], manifest.window_shape, manifest.output_shape, options
        )
    except EngineError as fault:
        raise EngineError(f"{bundle.source}: {variant.file}: {fault}") from None
    if variant.largest_batch is not None:
        batch = min(batch or opened.best_batch, variant.largest_batch)
    return Detector(manifest, opened, machines=machines, batch=batch, engine_name=engine, variant_name=variant.name)


def choose_variant(bundle: Bundle, engine: str = "auto", variant: str | None = None) -> tuple[str, Variant]:
    """The engine's name and the variant `load` would open where no choice was measured (`choice.py`).

    First those made for this kind of CPU, in the bundle's order, then the rest in the order of the engines. Raises `EngineError`
    if nothing installed fits, and says what stands against each.
    """
    if engine != "auto" and engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}, known: auto, {', '.join(ENGINES)}")
    variants = bundle.manifest.variants if variant is None else (bundle.variant(variant),)
    engines = installed_engines() if engine == "auto" else [engine]
    cpu = cpu_kind()
    pairs = [(name, each) for name in engines for each in variants if name in each.engines]
    usable = [(name, each) for name, each in pairs if obstacle(each, name, cpu) is None]
    if usable:
        made_for_it = [each for each in variants if cpu in each.boards]
        # The first of equal ones is taken: among the rest the engines' order stays, and the bundle's within an engine. Half precision
        # is for the CPUs it is made for.
        return min(usable, key=lambda pair: (_place(made_for_it, pair[1]), pair[1].half))
    has = ", ".join(f"{each.name} (for {' or '.join(each.engines)})" for each in variants)
    against = "".join(f"; {each.name}: {obstacle(each, name, cpu)}" for name, each in pairs)
    raise EngineError(f"{bundle.source}: expected a variant for {' or '.join(engines)}, got {has or 'none'}{against}")


def read_choice_text(path: str | PathLike[str]) -> bytes | None:
    """The bytes of the choice file beside a bundle, cut off when there are too many; None if there is none. Raises `EngineError`."""
    source = f"{fspath(path)}{CHOICE_SUFFIX}"
    try:
        with open(source, "rb") as file:
            return file.read(LARGEST_CHOICE + 1)
    except OSError as fault:
        if fault.errno in (errno.ENOENT, errno.ENAMETOOLONG):  # beside a name of the greatest length there can be none
            return None
        raise EngineError(f"{source}: cannot be read: {fault.strerror}: delete it, or make it readable") from None


def _chosen_here(path: str | PathLike[str], bundle: Bundle) -> tuple[str, Variant] | None:
    text = read_choice_text(path)
    if text is None:
        return None
    from edge_runtime.choice import chosen_pair  # few have such a file; every start would pay for it

    return chosen_pair(text, f"{fspath(path)}{CHOICE_SUFFIX}", bundle)


def obstacle(variant: Variant, engine: str, cpu: str) -> str | None:
    """Why the engine cannot run the variant on this kind of CPU, by what the manifest says; None if it can."""
    requires = variant.requires
    if requires.cpus and cpu not in requires.cpus:
        return f"it is for {' or '.join(requires.cpus)}, this is {cpu}"
    if engine == "tflite" and requires.operators:
        from edge_runtime.tflite_operators import too_new  # nothing else needs the table

        return too_new(requires.operators)
    return None


def _place(preferred: list[Variant], variant: Variant) -> int:
    return preferred.index(variant) if variant in preferred else len(preferred)
