"""The zip archive that a bundle is, written and read.

`zipfile` writes it. It is not what reads it on a device: importing it brings pathlib, shutil, threading and two decompressors, seven
milliseconds and one megabyte of a start (docs/decisions/0014-start.md), and it accepts far more than a bundle may be. Accepted here is
what `pack` writes and nothing else: members stored one behind the other from the first byte, each described alike in front of it
and in the directory, no byte that belongs to none of them (PKWARE's APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16).
"""

from __future__ import annotations

import struct
import zlib

from edge_runtime.errors import BundleError

_DATE = (1980, 1, 1, 0, 0, 0)  # the same contents give the same bytes
_HEADER, _NAME_LENGTH = 30, 28
"""The length of what is in front of a member's name, and where the name's own length ends in it."""
_ENTRY = struct.Struct("<4s6H3L5H2L")
"""Signature, made by, needed, flags, compression, time, date, CRC-32, stored size, size, lengths of name, extra field and comment,
disk, attributes (2), offset."""
_END = struct.Struct("<4s4H2LH")
"""Signature, this disk, the directory's disk, entries here, entries, the directory's size and offset, the comment's length."""


def pack(members: dict[str, bytes], comment: bytes) -> bytes:
    """A zip archive of these members, stored, with that comment at its end."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
        archive.comment = comment
    return buffer.getvalue()


def unpack(data: bytes, comment: int, source: str) -> dict[str, bytes]:
    """The members of an archive as `pack` writes it, by name; its comment has so many bytes. Raises `BundleError` naming `source`."""
    end = len(data) - comment - _END.size
    if end < 0:
        raise _malformed(source, "it has no end record")
    signature, *disks, here, entries, size, directory, length = _END.unpack_from(data, end)
    if (signature, disks, here, length) != (b"PK\5\6", [0, 0], entries, comment) or directory + size != end:
        raise _malformed(source, "its end record does not fit it")
    members: dict[str, bytes] = {}
    place, position = directory, 0
    for _ in range(entries):
        if place + _ENTRY.size > end:
            raise _malformed(source, f"its directory has fewer than {entries} entries")
        name, content, start = _member(data, place, position, directory, source)
        if name in members:
            raise BundleError(f"{source}: expected each member once, got {name!r} twice")
        members[name] = content
        place, position = place + _ENTRY.size + len(name), start + len(content)
    if (place, position) != (end, directory):
        raise _malformed(source, "it has bytes that belong to no member")
    return members


def _member(data: bytes, place: int, position: int, directory: int, source: str) -> tuple[str, bytes, int]:
    """A member's name, its bytes and where they begin; its entry is at `place` of the directory, itself it must be at `position`."""
    signature, _, _, flags, compression, _, _, crc, stored, size, *lengths, disk, _, _, offset = _ENTRY.unpack_from(
        data, place
    )
    entry, header = data[place : place + _ENTRY.size], data[offset : offset + _HEADER]
    raw = data[place + _ENTRY.size : place + _ENTRY.size + lengths[0]]
    name = _plain(raw, source)
    left = directory - position
    if compression != 0 or size > left:
        raise BundleError(
            f"{source}: {name}: expected a stored member of at most {left} bytes (what is left of the file), "
            f"got {size} bytes, compression {compression}"
        )
    start = offset + _HEADER + len(raw)
    if (
        (signature, flags, stored, lengths, disk, offset) != (b"PK\1\2", 0, size, [len(raw), 0, 0], 0, position)
        or header[:4] != b"PK\3\4"
        or header[4:_NAME_LENGTH] != entry[6 : 2 + _NAME_LENGTH]
        or header[_NAME_LENGTH:] != b"\0\0"  # no extra field
        or data[start - len(raw) : start] != raw
        or start + size > directory
    ):
        raise _malformed(source, f"what it says of {name!r} does not fit")
    content = data[start : start + size]
    if zlib.crc32(content) != crc:
        raise _malformed(source, f"Bad CRC-32 for file {name!r}")
    return name, content, start


def _plain(raw: bytes, source: str) -> str:
    """A member's name: letters, digits, dots, dashes and underscores, so that it is no path and not hidden."""
    name = raw.decode("utf-8", "replace")
    if not name or name.startswith(".") or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
        raise BundleError(f"{source}: expected members with plain names, got {name!r}")
    return name


def _malformed(source: str, why: str) -> BundleError:
    return BundleError(f"{source}: the archive is malformed: {why}")
