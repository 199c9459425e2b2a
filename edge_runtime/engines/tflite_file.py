"""What the TFLite engines look up in a file's bytes before the interpreter gets them."""

from __future__ import annotations

import struct

STATEFUL = {
    16: "LSTM",
    27: "SVDF",
    35: "UNIDIRECTIONAL_SEQUENCE_RNN",
    44: "UNIDIRECTIONAL_SEQUENCE_LSTM",
    46: "BIDIRECTIONAL_SEQUENCE_RNN",
    52: "BIDIRECTIONAL_SEQUENCE_LSTM",
    129: "CALL_ONCE",
    142: "VAR_HANDLE",
}
"""The operators that keep numbers between calls, by their code in the schema."""
HALF = b"reduced_precision_support"
"""The metadata's name by which a file allows half precision."""
HIDDEN = b"-educed_precision_support"
"""A name that nobody asks for, just as long."""


def is_stateful(model: bytes) -> bool:
    """Whether the file has an operator that keeps numbers between calls; True for one that cannot be read.

    Read are the operator codes alone, a few bytes: `root.operator_codes[i].builtin_code` of the TFLite schema, version 3.
    """
    try:
        root = _number(model, "<I", 0)
        vector = root + _field(model, root, 1)
        vector += _number(model, "<I", vector)
        for i in range(_number(model, "<I", vector)):
            place = vector + 4 + 4 * i
            code = place + _number(model, "<I", place)
            old, new = _field(model, code, 0), _field(model, code, 3)
            codes = (_number(model, "<b", code + old) if old else 0, _number(model, "<i", code + new) if new else 0)
            if max(codes) in STATEFUL:
                return True
    except struct.error:
        return True
    return False


def without_half(model: bytes) -> bytes:
    """The file with its permission for half precision hidden: the same bytes where it gives none."""
    return model.replace(HALF, HIDDEN)


def _field(model: bytes, table: int, index: int) -> int:
    """Where a flatbuffer table has its field, from the table's start; 0 if it is left out."""
    entries = table - _number(model, "<i", table)
    return _number(model, "<H", entries + 4 + 2 * index) if 4 + 2 * index < _number(model, "<H", entries) else 0


def _number(model: bytes, form: str, place: int) -> int:
    if place < 0:
        raise struct.error("before the beginning")
    number: int = struct.unpack_from(form, model, place)[0]
    return number
