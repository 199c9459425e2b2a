"""Checks of a group's bundle: whole, answering its golden readings, with an engine to run on, and fitting the payload."""

from __future__ import annotations

from typing import NamedTuple

from edge_runtime.bundle import Bundle
from edge_runtime.commands.verify import verify
from edge_runtime.errors import AnomaliteError, BundleError, EngineError, InputError
from edge_runtime.gateway.check_finding import Finding, fine, note, wrong
from edge_runtime.gateway.config import Group
from edge_runtime.gateway.payload import Decoder
from edge_runtime.manifest import Manifest
from edge_runtime.opening import load


class Opened(NamedTuple):
    """A bundle as it would run."""

    manifest: Manifest
    engine: str
    variant: str


def bundle_findings(what: str, group: Group) -> tuple[list[Finding], Opened | None]:
    """What is to be said of the group's bundle, and how it would run; None if it would not."""
    try:
        bundle = Bundle.read(group.bundle)
    except BundleError as fault:
        return [wrong(what, str(fault))], None
    findings = _payload_findings(what, group, bundle.manifest)
    try:
        detector = load(group.bundle, engine=group.engine, variant=group.variant)
    except AnomaliteError as fault:
        return [*findings, wrong(what, str(fault))], None
    opened = Opened(bundle.manifest, detector.engine_name, detector.variant_name)
    detector.close()
    return [*_golden_findings(what, bundle, opened), *findings], opened


def _golden_findings(what: str, bundle: Bundle, opened: Opened) -> list[Finding]:
    runs = f"{opened.variant} on {opened.engine}"
    if bundle.manifest.golden is None:
        return [note(what, f"{bundle.source}: whole; {runs}, not proven: it has no golden readings")]
    try:
        results, _ = verify(bundle)
    except (BundleError, EngineError) as fault:
        return [wrong(what, str(fault))]
    findings = []
    for result in results:
        is_used = (result.variant, result.engine) == (opened.variant, opened.engine)
        if not result.passed:
            text = f"{bundle.source}: golden readings are not answered right by {result.variant} on {result.engine}"
            text += f" ({result.fault})" if result.fault else ""
            findings.append(wrong(what, text) if is_used else note(what, f"{text}, which is not used"))
        elif is_used:
            findings.append(fine(what, f"{bundle.source}: whole; {runs} answers {result.scored} golden readings right"))
    return findings


def _payload_findings(what: str, group: Group, manifest: Manifest) -> list[Finding]:
    try:
        decoder = Decoder(group.payload, manifest)
    except InputError as fault:
        return [wrong(what, str(fault))]
    return [
        fine(what, f"payload {group.payload.kind}: fits the bundle, up to {decoder.max_bytes // 1024} kB a message")
    ]
