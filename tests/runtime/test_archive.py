"""The archive: what is packed is unpacked, as `zipfile` does it, and nothing else is accepted."""

import io
import struct
import zipfile

import pytest
from effort import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.archive import pack, unpack
from edge_runtime.errors import BundleError

NAMES = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}", fullmatch=True)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=60), max_size=5)
COMMENT = b"a comment"
SOURCE = "pump.anomalite"


def by_zipfile(data: bytes) -> dict[str, bytes]:
    """What the standard library reads."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {info.orig_filename: archive.read(info) for info in archive.infolist()}


@settings(max_examples=examples(200))
@given(MEMBERS)
def test_what_is_packed_is_unpacked(members: dict[str, bytes]) -> None:
    """Names, contents and order, and any zip tool agrees."""
    data = pack(members, COMMENT)
    assert list(unpack(data, len(COMMENT), SOURCE).items()) == list(members.items())
    assert by_zipfile(data) == members


@settings(max_examples=examples(500))
@given(MEMBERS, st.data())
def test_nothing_else_is_accepted(members: dict[str, bytes], data: st.DataObject) -> None:
    """Bytes altered, put in or left out anywhere: refused, or the same members, which `zipfile` finds too."""
    whole = pack(members, COMMENT)
    start, stop = sorted(data.draw(st.integers(0, len(whole))) for _ in range(2))
    changed = whole[:start] + data.draw(st.binary(max_size=40)) + whole[min(stop, start + 40) :]
    try:
        got = unpack(changed, len(COMMENT), SOURCE)
    except BundleError as fault:
        message = str(fault)
    else:
        assert by_zipfile(changed) == got
        return
    assert message.startswith(f"{SOURCE}: ")
    assert "\n" not in message


@pytest.mark.parametrize("length", [0, 1, 21, 22, 30])
def test_too_short(length: int) -> None:
    """Less than an empty archive is refused, whatever it is."""
    with pytest.raises(BundleError, match="malformed"):
        unpack(bytes(length), len(COMMENT), SOURCE)


def test_bytes_between_members() -> None:
    """A gap is refused although `zipfile` reads such a file: nothing hides in a bundle."""
    whole = pack({"a": b"first", "b": b"second"}, COMMENT)
    second = whole.index(b"PK\3\4", 1)
    changed = bytearray(whole[:second] + b"hidden" + whole[second:])
    directory = changed.index(b"PK\1\2")
    struct.pack_into("<L", changed, changed.rindex(b"PK\1\2") + 42, second + len(b"hidden"))
    struct.pack_into("<L", changed, changed.index(b"PK\5\6") + 16, directory)
    assert by_zipfile(bytes(changed)) == {"a": b"first", "b": b"second"}
    with pytest.raises(BundleError, match="malformed: what it says of 'b' does not fit"):
        unpack(bytes(changed), len(COMMENT), SOURCE)
