"""Protobuf's wire format, where messages are put together by hand.

A message is its fields, one after the other: a tag (the field's number times eight, and the sort of
what follows) and that (https://protobuf.dev/programming-guides/encoding/). What protobuf's own
messages cost in Python is an object for each and a call for each field.
"""

from __future__ import annotations

ONE_BYTE = 0x80
"""Numbers below it are one byte."""
SMALL = tuple(bytes((value,)) for value in range(ONE_BYTE))
"""Those, written."""


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it.

    That is seven bits a byte, the lowest first; all but the last have the eighth bit.

    Args:
        value: the number, zero or more.
    """
    if value < ONE_BYTE:
        return SMALL[value]
    written = bytearray()
    while value >> 7:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def field(tag: bytes, content: bytes) -> bytes:
    """Return a field that has a length: text, bytes or a message.

    Args:
        tag: its tag.
        content: what it holds, encoded.
    """
    return tag + varint(len(content)) + content
