"""A bundle is whole and unaltered, or it is refused; it is written whole, or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import handmade
import pytest

from edge_runtime import bundle as bundle_module
from edge_runtime.bundle import Bundle, seal
from edge_runtime.errors import BundleError, OutputError
from edge_runtime.manifest import FORMAT

TINY = handmade.TINY.read_bytes()
MEMBERS = handmade.members_of(handmade.TINY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pump.anomalite"


def refusal(path: Path, data: bytes) -> str:
    """The message with which these bytes are refused, without the file's name, which it must begin with."""
    path.write_bytes(data)
    with pytest.raises(BundleError) as caught:
        Bundle.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_the_tiny_bundle_is_read() -> None:
    """The committed example of format 1: everything it must contain is there."""
    bundle = Bundle.read(handmade.TINY)
    assert bundle.manifest.format == 1
    assert (bundle.manifest.window.length, bundle.manifest.channel_names) == (8, ("flow", "pressure", "temperature"))
    assert {variant.name for variant in bundle.manifest.variants} == {
        "tflite-float32",
        "tflite-int8",
        "onnx-float32",
        "numpy-float32",
    }
    assert all({"normal", "disturbed", "near_threshold"} <= set(variant.parity) for variant in bundle.manifest.variants)
    assert set(bundle.members) == {"golden.npz"} | {variant.file for variant in bundle.manifest.variants}
    assert len(TINY) < 60_000


def test_every_released_format_is_read() -> None:
    """One example of each format up to this version's is kept, and read."""
    examples = sorted(handmade.DATA.glob("format-*/*.anomalite"))
    assert [Bundle.read(example).manifest.format for example in examples] == list(range(1, FORMAT + 1))


def test_sealing_and_reading_back(path: Path) -> None:
    """What was sealed is read, hashes and sizes filled in, and sealing it again gives the same bytes."""
    m = replace(
        handmade.manifest(),
        variants=(handmade.variant("a", "a.bin", "numpy"), handmade.variant("b", "b.bin", "onnx", "litert")),
    )
    sealed = seal(path, m, {"a": b"first", "b": b""}, b"gold")
    first = path.read_bytes()
    again = Bundle.read(str(path))
    assert again.manifest == sealed.manifest
    assert again.members == {"a.bin": b"first", "b.bin": b"", "golden.npz": b"gold"}
    assert [variant.size for variant in again.manifest.variants] == [5, 0]
    assert replace(again.manifest, golden=None, variants=()) == replace(m, variants=())
    assert again.variant("b").engines == ("onnx", "litert")
    seal(path, sealed.manifest, {"a": b"first", "b": b""}, b"gold")
    assert path.read_bytes() == first
    assert list(path.parent.iterdir()) == [path]


def test_the_form_is_what_is_documented(path: Path) -> None:
    """A zip that any tool opens, whose comment is the mark and a SHA-256 over all bytes before its digits."""
    handmade.sealed(path)
    data = path.read_bytes()
    assert handmade.with_digest(data[:-64]) == data
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "model.npz", "golden.npz"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.comment == data[-81:]
    assert Bundle.read(path).digest == data[-64:].decode()
    assert json.loads(handmade.members_of(path)["manifest.json"])["format"] == FORMAT


@pytest.mark.heavy
def test_every_altered_byte_is_found(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each single byte of the file, altered by one bit or more, makes it refused."""
    # The same function from OpenSSL (test_digest.py) makes these 40,000 readings five times faster.
    monkeypatch.setattr(bundle_module, "sha256", lambda data: hashlib.sha256(data).hexdigest())
    path.write_bytes(TINY)
    accepted = []
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(TINY):
            flipped = byte ^ (1 << place % 8) if place % 2 else byte ^ 0xFF
            os.pwrite(file.fileno(), bytes([flipped]), place)
            try:
                Bundle.read(path)
                accepted.append(place)
            except BundleError:
                pass
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert accepted == []
    assert Bundle.read(path).manifest.name == "tiny"


@pytest.mark.heavy
def test_every_truncation_is_found(path: Path) -> None:
    """Cut off anywhere: near the ends at every byte, in between at every 37th."""
    path.write_bytes(TINY)
    lengths = [n for n in range(len(TINY) - 1, -1, -1) if n < 500 or n > len(TINY) - 1500 or n % 37 == 0]
    for length in lengths:
        os.truncate(path, length)
        with pytest.raises(BundleError, match=r"another kind of file, or cut off|the file was altered"):
            Bundle.read(path)


@pytest.mark.parametrize(
    "extra",
    [b"\0", b"\n", TINY, b"anomalite sha256 " + b"0" * 64],
    ids=["zero", "newline", "itself", "a second digest"],
)
def test_appended_bytes_are_found(path: Path, extra: bytes) -> None:
    """So is anything after the end."""
    assert "altered" in refusal(path, TINY + extra) or "cut off" in refusal(path, TINY + extra)


def test_what_is_no_bundle_at_all(path: Path) -> None:
    """Missing, a folder, empty, another kind of file, a zip without a digest, larger than any bundle."""
    with pytest.raises(BundleError, match=r"pump\.anomalite: cannot be read: No such file or directory"):
        Bundle.read(path)
    with pytest.raises(BundleError, match="cannot be read: Is a directory"):
        Bundle.read(path.parent)
    assert refusal(path, b"") == "expected an anomalite bundle, got an empty file: another kind of file, or cut off"
    for data in (b"PK", b"PK\3\4", b"time,a,b\n0,1,2\n", b"\x7fELF" + bytes(1000), bytes(1000)):
        assert (
            refusal(path, data)
            == "expected an anomalite bundle, got no digest at its end: another kind of file, or cut off"
        )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("manifest.json", "{}")
    assert "no digest at its end" in refusal(path, buffer.getvalue())


def test_a_file_larger_than_any_bundle_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is not given to whatever a path points at."""
    monkeypatch.setattr(bundle_module, "LARGEST_FILE", len(TINY) - 1)
    assert refusal(path, TINY) == f"expected a bundle of at most {len(TINY) - 1} bytes, got a larger file"
    monkeypatch.setattr(bundle_module, "LARGEST_FILE", len(TINY))
    assert Bundle.read(path).manifest.name == "tiny"


def test_handmade_bundles_are_accepted_when_nothing_is_wrong_with_them(path: Path) -> None:
    """So that the refusals below are for what each test changes."""
    path.write_bytes(handmade.pack(MEMBERS.items()))
    assert Bundle.read(path).members == Bundle.read(handmade.TINY).members
    path.write_bytes(handmade.pack(handmade.rewrite(MEMBERS, name="other").items()))
    assert Bundle.read(path).manifest.name == "other"


@pytest.mark.parametrize(
    "name",
    [
        "../manifest.json",
        "/model.tflite",
        "a/b",
        "a\\b",
        "..",
        ".",
        ".hidden",
        "",
        "c:x",
        "a\0b",
        "a b",
        "é",
        "model.npz/",
        "~",
        "a\nb",
        "con*",
    ],
)
def test_escaping_names(path: Path, name: str) -> None:
    """Only plain names are members: no folder, no drive, no way out, nothing hidden."""
    assert (
        refusal(path, handmade.pack([*MEMBERS.items(), (name, b"x")]))
        == f"expected members with plain names, got {name!r}"
    )


def test_unexpected_and_missing_members(path: Path) -> None:
    """Exactly what the manifest names, no more and no less."""
    assert (
        refusal(path, handmade.pack([*MEMBERS.items(), ("extra.bin", b"x")]))
        == "expected only members the manifest names, got 'extra.bin'"
    )
    for gone in MEMBERS:
        rest = [(name, data) for name, data in MEMBERS.items() if name != gone]
        expected = (
            "expected a member manifest.json, found none"
            if gone == "manifest.json"
            else f"expected a member {gone!r} as the manifest says, found none"
        )
        assert refusal(path, handmade.pack(rest)) == expected
    assert (
        refusal(path, handmade.pack([]))
        in (
            "expected a member manifest.json, found none",
            "expected an anomalite bundle, got no digest at its end: another kind of file, or cut off",  # it begins as an empty zip
        )
    )


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_repeated_members(path: Path) -> None:
    """No name comes twice, equal contents or not: which one would count?"""
    for name in ("manifest.json", "model.npz"):
        for data in (MEMBERS[name], b"{}"):
            assert (
                refusal(path, handmade.pack([*MEMBERS.items(), (name, data)]))
                == f"expected each member once, got {name!r} twice"
            )


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members(path: Path, compression: int) -> None:
    """Members are stored: nothing grows on reading."""
    message = refusal(path, handmade.pack(MEMBERS.items(), compression))
    assert message.startswith("manifest.json: expected a stored member of at most ")
    assert message.endswith(f"compression {compression}")


def central(data: bytes, name: str) -> int:
    """Where the central directory's entry of a member begins."""
    return data.rindex(name.encode()) - 46


def altered(data: bytes, place: int, form: str, number: int) -> bytes:
    """Bytes with a number of the zip's structures replaced, and the digest made right again."""
    changed = bytearray(data)
    struct.pack_into(form, changed, place, number)
    return handmade.reseal(bytes(changed))


@pytest.mark.parametrize("size", [2**20, 2**31, 2**32 - 2])
def test_oversized_members(path: Path, size: int) -> None:
    """A member that says it is larger than the file is refused before memory is given to it."""
    entry = central(TINY, "model.npz")
    message = refusal(path, altered(TINY, entry + 24, "<I", size))
    assert message.startswith("model.npz: expected a stored member of at most ")
    assert f"got {size} bytes" in message


def test_overlapping_members(path: Path) -> None:
    """Two entries that share the file's bytes are refused: the same member twice, or one inside the other."""
    one, other = central(TINY, "model.npz"), central(TINY, "golden.npz")
    (offset,) = struct.unpack_from("<I", TINY, one + 42)
    assert "malformed" in refusal(path, altered(TINY, other + 42, "<I", offset))

    inner = handmade.pack([("b.bin", b"inside")])
    whole = handmade.pack(
        [("a.bin", inner[: inner.index(b"PK\1\2")]), ("b.bin", b"inside"), *handmade.rewrite(MEMBERS).items()]
    )
    message = refusal(path, altered(whole, central(whole, "b.bin") + 42, "<I", whole.index(b"b.bin") - 30))
    # Newer Pythons see the overlap; for older ones these are two members that no manifest names.
    assert "malformed" in message or "expected only members the manifest names" in message


@pytest.mark.heavy
def test_zip_structures_cannot_lie(small: Path) -> None:
    """Every byte of the zip's own structures altered, the digest made right again: refused, or the very same contents."""
    whole, data = Bundle.read(small), small.read_bytes()
    payload = set()
    with zipfile.ZipFile(small) as archive:
        for info in archive.infolist():
            start = info.header_offset + 30 + len(info.filename)
            payload.update(range(start, start + info.file_size))
    places = [place for place in range(len(data) - 81) if place not in payload]
    assert 300 < len(places) < 1000
    refused = 0
    for place in places:
        for flip in (0x01, 0x80, 0xFF):
            changed = bytearray(data)
            changed[place] ^= flip
            small.write_bytes(handmade.reseal(bytes(changed)))
            try:
                bundle = Bundle.read(small)
            except BundleError:
                refused += 1
            else:
                assert (bundle.manifest, bundle.members) == (whole.manifest, whole.members)
    assert refused > len(places)


def test_contents_cannot_lie(path: Path) -> None:
    """A member's bytes altered, the archive made right again: the manifest's size and hash find it."""
    for name in set(MEMBERS) - {"manifest.json"}:
        altered_bytes = bytes([MEMBERS[name][0] ^ 1]) + MEMBERS[name][1:]
        message = refusal(path, handmade.pack({**MEMBERS, name: altered_bytes}.items()))
        assert message.startswith(f"{name}: expected sha256 ")
        message = refusal(path, handmade.pack({**MEMBERS, name: MEMBERS[name] + b"\0"}.items()))
        assert message == f"{name}: expected {len(MEMBERS[name])} bytes, got {len(MEMBERS[name]) + 1}"


def test_an_altered_member_with_the_old_checksum(path: Path) -> None:
    """The zip's own CRC is checked too."""
    changed = bytearray(TINY)
    changed[TINY.index(MEMBERS["model.npz"]) + 100] ^= 1
    assert refusal(path, handmade.reseal(bytes(changed))) == "the archive is malformed: Bad CRC-32 for file 'model.npz'"


@pytest.mark.parametrize("number", [FORMAT + 1, 99, 10**30])
def test_a_newer_format(path: Path, number: int) -> None:
    """Is refused by its number, whatever else has changed with it, and says what to do."""
    for data in ({"format": number}, {**json.loads(MEMBERS["manifest.json"]), "format": number, "new": 1}):
        message = refusal(path, handmade.pack({**MEMBERS, "manifest.json": json.dumps(data).encode()}.items()))
        assert (
            message
            == f"manifest.json: expected format {FORMAT}, got {number} - at $.format; install a newer anomalite to read it"
        )


@pytest.mark.parametrize("number", [0, -1])
def test_a_format_that_never_was(path: Path, number: int) -> None:
    """Is refused, and a newer version would not help."""
    message = refusal(path, handmade.pack(handmade.rewrite(MEMBERS, format=number).items()))
    assert message == f"manifest.json: expected format {FORMAT}, got {number} - at $.format"


@pytest.mark.parametrize("number", [None, True, "1", 1.0, [1], {}])
def test_a_format_that_is_no_number(path: Path, number: Any) -> None:
    """Is an error of the manifest like any other."""
    message = refusal(path, handmade.pack(handmade.rewrite(MEMBERS, format=number).items()))
    assert message.startswith("manifest.json: expected a whole number, got ")
    assert message.endswith(" - at $.format")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe\xfa",
        b"[" * 100_000,
        b"NaN",
        b"[]",
        b"null",
        b'"x"',
        b"{}",
        b'{"format": 1}',
        b'{"format": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_manifest_that_is_none(path: Path, text: bytes) -> None:
    """Not JSON, or other JSON."""
    assert refusal(path, handmade.pack({**MEMBERS, "manifest.json": text}.items())).startswith(
        "manifest.json: expected "
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windo": 1}, "unknown key 'windo', did you mean 'window'? - at $.windo"),
        ({"channels": []}, "expected one or more channels with different names, got [] - at $"),
        ({"window": {"length": 1}}, "expected a window length from 2 to 100000, got 1 - at $.window"),
        ({"window": {"length": 8.0}}, "expected a whole number, got 8.0 - at $.window.length"),
        ({"scaling": {"kind": "standard", "center": [0, 0, 0], "scale": [1, 0, 1]}}, "expected scales above zero, got [1.0, 0.0, 1.0] - at $.scaling"),
        ({"scaling": {"kind": "standard", "center": [0, 0], "scale": [1, 1, 1]}}, "expected 3 numbers in scaling.center, got 2 - at $"),
        ({"scaling": {"kind": "standard", "center": [0, 0, float("nan")], "scale": [1, 1, 1]}}, "expected a finite number, got nan - at $.scaling.center[2]"),
        ({"scaling": {"kind": "standard", "center": [0, 0, 10**400], "scale": [1, 1, 1]}}, "expected a finite number, got inf - at $.scaling.center[2]"),
        ({"threshold": None}, "expected a table, got nothing - at $.threshold"),
    ],
)  # fmt: skip
def test_a_wrong_manifest(path: Path, changes: dict[str, Any], message: str) -> None:
    """Names file, member, fault and place."""
    assert refusal(path, handmade.pack(handmade.rewrite(MEMBERS, **changes).items())) == f"manifest.json: {message}"


def test_a_manifest_without_golden_readings(path: Path) -> None:
    """Is read; golden readings that it does not name are unexpected."""
    without = {name: data for name, data in MEMBERS.items() if name != "golden.npz"}
    path.write_bytes(handmade.pack(handmade.rewrite(without, golden=None).items()))
    assert Bundle.read(path).manifest.golden is None
    assert "expected only members the manifest names, got 'golden.npz'" in refusal(
        path, handmade.pack(handmade.rewrite(MEMBERS, golden=None).items())
    )


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_seal_leaves_the_old_bundle(small: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A full disk costs nothing that was there (test_files.py has the other ways to fail)."""
    before = small.read_bytes()

    def no_space(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, no_space)
    with pytest.raises(OutputError, match=r"small\.anomalite: cannot be written: No space left on device"):
        seal(small, handmade.manifest(), {}, None)
    assert small.read_bytes() == before
    assert list(small.parent.iterdir()) == [small]


@pytest.mark.parametrize("file", ["../model.npz", "manifest.json", "a/b"])
def test_a_manifest_that_could_not_be_read_back_is_not_written(path: Path, file: str) -> None:
    """`seal` refuses what `read` would refuse, and the old file stays."""
    path.write_bytes(b"the old one")
    m = replace(handmade.manifest(), variants=(handmade.variant("numpy-float32", file, "numpy"),))
    with pytest.raises(BundleError):
        seal(path, m, {"numpy-float32": b"x"}, b"gold")
    assert path.read_bytes() == b"the old one"
    assert list(path.parent.iterdir()) == [path]


def test_variants_share_neither_name_nor_file(path: Path) -> None:
    """Nor one with the golden readings: else only one of two hashes would be checked."""
    variants = json.loads(MEMBERS["manifest.json"])["variants"]
    golden = {"file": variants[0]["file"], "sha256": "", "size": 0}
    for changes, expected in (
        ({"variants": [*variants, {**variants[0], "name": "other"}]}, "each file once, or once in half precision too"),
        ({"variants": [*variants, {**variants[0], "file": "other.bin"}]}, "variants with different names"),
        ({"golden": golden}, "the golden readings in a file of their own"),
    ):
        message = refusal(
            path, handmade.pack(handmade.rewrite({**MEMBERS, "other.bin": MEMBERS["model.npz"]}, **changes).items())
        )
        assert message.startswith(f"manifest.json: expected {expected}, got ")


def test_variants_may_share_a_file_that_they_calculate_differently(path: Path) -> None:
    """One hash for both, and one member; two that want other bytes under one name are refused."""
    one = replace(handmade.variant("a", "model.npz", "numpy"), half=False)
    other = replace(one, name="b", half=True)
    m = handmade.manifest(variants=(one, other))
    bundle = seal(path, m, {"a": b"same", "b": b"same"}, None)
    assert list(bundle.members) == ["model.npz"]
    with pytest.raises(BundleError, match=r"expected the same bytes of all variants in model\.npz, got others for b"):
        seal(path, m, {"a": b"same", "b": b"else"}, None)
