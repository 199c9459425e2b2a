"""A bundle in, a detector out: which engine and which of the bundle's variants it runs on."""

from __future__ import annotations

from os import PathLike

from edge_runtime.bundle import Bundle
from edge_runtime.detector import Detector
from edge_runtime.engines import ENGINES, installed_engines, open_engine
from edge_runtime.errors import EngineError
from edge_runtime.manifest import Variant


def load(
    path: str | PathLike[str],
    *,
    engine: str = "auto",
    variant: str | None = None,
    machines: int = 1,
    batch: int | None = None,
) -> Detector:
    """Open a bundle for scoring.

    `engine`: "auto" takes the fastest installed one for which the bundle has a variant, a name insists on it; `variant`
    insists on one of the bundle's variants; `machines`: how many machines share the model; `batch`: the most windows in one
    engine call (None: the engine's best; 1 gives the same bits however readings arrive). Raises `BundleError`,
    `EngineError`, `ExtraMissingError`.
    """
    bundle = Bundle.read(path)
    name, chosen = choose_variant(bundle, engine, variant)
    manifest = bundle.manifest
    try:
        opened = open_engine(name, bundle.members[chosen.file], manifest.window_shape, manifest.output_shape)
    except EngineError as fault:
        raise EngineError(f"{bundle.source}: {chosen.file}: {fault}") from None
    return Detector(manifest, opened, machines=machines, batch=batch, engine_name=name, variant_name=chosen.name)


def choose_variant(bundle: Bundle, engine: str = "auto", variant: str | None = None) -> tuple[str, Variant]:
    """The engine's name and the variant `load` would open. Raises `EngineError` if nothing installed fits."""
    if engine != "auto" and engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}, known: auto, {', '.join(ENGINES)}")
    variants = bundle.manifest.variants if variant is None else (bundle.variant(variant),)
    candidates = installed_engines() if engine == "auto" else [engine]
    for name in candidates:
        for each in variants:
            if name in each.engines:
                return name, each
    has = ", ".join(f"{each.name} (for {' or '.join(each.engines)})" for each in variants)
    raise EngineError(f"{bundle.source}: expected a variant for {' or '.join(candidates)}, got {has or 'none'}")
