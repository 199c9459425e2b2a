"""The bundle, `NAME.anomalite`: one verified file with everything a device needs.

A zip archive (stored, nothing executable, no pickle): `manifest.json`, one member for each model variant, and
`golden.npz`. The archive comment ends with a SHA-256 digest over every byte of the file before it, so a change anywhere,
the zip's own structures included, is found on opening. The digest is against accidents; it is not a signature.
"""

from __future__ import annotations

import json
from os import PathLike

from edge_runtime.archive import pack, unpack
from edge_runtime.digest import sha256
from edge_runtime.errors import BundleError, SchemaError
from edge_runtime.files import write_whole
from edge_runtime.manifest import FORMAT, Golden, Manifest, Variant
from edge_runtime.schema import decode, encode

LARGEST_FILE = 64 * 2**20
"""A file larger than this (bytes) is not read."""
_MANIFEST, _GOLDEN = "manifest.json", "golden.npz"
_MARK = b"anomalite sha256 "
_DIGITS = 64


class Bundle:
    """A bundle read into memory and verified: the manifest and the members it names.

    `manifest`: the decoded manifest; `members`: each member's bytes by name; `source`: what to call the file in messages;
    `digest`: the SHA-256 the file ends with, 64 lower-case hexadecimal digits, which tells it from every other bundle.
    """

    def __init__(self, manifest: Manifest, members: dict[str, bytes], source: str, digest: str = "") -> None:
        self.manifest = manifest
        self.members = members
        self.source = source
        self.digest = digest

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Bundle:
        """Read and verify a bundle. Raises `BundleError` naming the file, the place, what was expected and what was found."""
        source = str(path)
        try:
            with open(path, "rb") as file:
                data = file.read(LARGEST_FILE + 1)
        except OSError as fault:
            raise BundleError(f"{source}: cannot be read: {fault.strerror}") from None
        if len(data) > LARGEST_FILE:
            raise BundleError(f"{source}: expected a bundle of at most {LARGEST_FILE} bytes, got a larger file")
        return cls.parse(data, source)

    @classmethod
    def parse(cls, data: bytes, source: str) -> Bundle:
        """Verify a bundle's bytes. Raises `BundleError` naming `source`."""
        digest = _check_digest(data, source)
        members = unpack(data, len(_MARK) + _DIGITS, source)
        manifest = _read_manifest(members.pop(_MANIFEST, None), source)
        _check_members(manifest, members, source)
        return cls(manifest, members, source, digest)

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises `BundleError` with the list of names."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        names = ", ".join(variant.name for variant in self.manifest.variants)
        raise BundleError(f"{self.source}: expected one of the variants {names}, got {name!r}")


def seal(path: str | PathLike[str], manifest: Manifest, models: dict[str, bytes], golden: bytes | None) -> Bundle:
    """Verify and write a bundle, read it back and verify it again.

    `models` holds each variant's file by the variant's name; hashes and sizes in the manifest are filled in here. The file
    appears whole or not at all. Raises `BundleError` for what could not be read back, `OutputError`.
    """
    variants = tuple(
        variant.replaced(sha256=sha256(models[variant.name]), size=len(models[variant.name]))
        for variant in manifest.variants
    )
    members: dict[str, bytes] = {}
    for variant in variants:
        if members.setdefault(variant.file, models[variant.name]) != models[variant.name]:
            raise BundleError(
                f"{path}: expected the same bytes of all variants in {variant.file}, got others for {variant.name}"
            )
    sealed_golden = None
    if golden is not None:
        members[_GOLDEN] = golden
        sealed_golden = Golden(_GOLDEN, sha256(golden), len(golden))
    manifest = manifest.replaced(format=FORMAT, variants=variants, golden=sealed_golden)
    text = json.dumps(encode(manifest), indent=1, allow_nan=False).encode()
    data = _pack({_MANIFEST: text, **members})
    Bundle.parse(data, str(path))  # before an earlier file of that name is gone
    write_whole(path, data)
    return Bundle.read(path)


def _pack(members: dict[str, bytes]) -> bytes:
    # The digest covers the comment's length too, so room for it is there before it is.
    body = pack(members, _MARK + b"0" * _DIGITS)[:-_DIGITS]
    return body + sha256(body).encode()


def _check_digest(data: bytes, source: str) -> str:
    """The digest, once it is known to be right."""
    body, digits = memoryview(data)[:-_DIGITS], data[-_DIGITS:]
    if data[:4] != b"PK\3\4" or body[-len(_MARK) :] != _MARK:
        what = "an empty file" if not data else "no digest at its end"
        raise BundleError(f"{source}: expected an anomalite bundle, got {what}: another kind of file, or cut off")
    digest = sha256(body)
    if digits != digest.encode():
        got = digits.decode("latin-1")
        raise BundleError(f"{source}: archive comment: expected the digest {digest}, got {got!r}: the file was altered")
    return digest


def _read_manifest(text: bytes | None, source: str) -> Manifest:
    if text is None:
        raise BundleError(f"{source}: expected a member {_MANIFEST}, found none")
    try:
        data = json.loads(text)
        newest = data["format"] if isinstance(data, dict) and type(data.get("format")) is int else None
        if newest is not None and newest != FORMAT:
            remedy = "; install a newer anomalite to read it" if newest > FORMAT else ""
            raise BundleError(f"{source}: {_MANIFEST}: expected format {FORMAT}, got {newest} - at $.format{remedy}")
        return decode(Manifest, data, f"{source}: {_MANIFEST}")
    except SchemaError as fault:
        raise BundleError(str(fault)) from None
    except (ValueError, RecursionError) as fault:
        raise BundleError(f"{source}: {_MANIFEST}: expected JSON, got: {fault}") from None


def _check_members(manifest: Manifest, members: dict[str, bytes], source: str) -> None:
    expected: list[Variant | Golden] = [*manifest.variants, *([] if manifest.golden is None else [manifest.golden])]
    for name in members:
        if name not in {entry.file for entry in expected}:
            raise BundleError(f"{source}: expected only members the manifest names, got {name!r}")
    digests: dict[str, str] = {}  # two variants may share a file
    for entry in expected:
        name = entry.file
        if name not in members:
            raise BundleError(f"{source}: expected a member {name!r} as the manifest says, found none")
        if len(members[name]) != entry.size:
            raise BundleError(f"{source}: {name}: expected {entry.size} bytes, got {len(members[name])}")
        digest = digests[name] = digests.get(name) or sha256(members[name])
        if digest != entry.sha256:
            raise BundleError(f"{source}: {name}: expected sha256 {entry.sha256}, got {digest}")
