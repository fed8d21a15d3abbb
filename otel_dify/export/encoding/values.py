"""Attributes: names and values as OTLP's KeyValue, encoded once and kept.

Values become what OTLP's mapping of attribute types says
(https://opentelemetry.io/docs/specs/otel/common/attribute-type-mapping/): integers of more than 64
bits are sent as text. Text that UTF-8 cannot write has ``?`` where it cannot. An attribute that
OTLP has no type for is left out; the others, and the span or record, are sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from struct import Struct
from typing import Any

from otel_dify.cleaning.values import encodable
from otel_dify.export.encoding import lean
from otel_dify.export.encoding.wire import ONE_BYTE, field, varint
from otel_dify.guard import failed

# Longer texts are not met twice.
_LONGEST_KEPT = 200
# Tags of KeyValue and AnyValue (``opentelemetry/proto/common/v1/common.proto``).
_KEY, _VALUE = b"\x0a", b"\x12"
# What comes between a name and its value: the length of the AnyValue, the tag of its only field,
# and for a text the length of that.
_TEXTS = tuple(bytes((2 + size, 0x0A, size)) for size in range(ONE_BYTE - 2))
_BOOLS = bytes((2, 0x10, 0)), bytes((2, 0x10, 1))
_INTS = tuple(bytes((1 + size, 0x18)) for size in range(10))
_DOUBLE = bytes((9, 0x21))
_TOO_LARGE = 1 << 63
_pack_double = Struct("<d").pack
# A parser of protobuf refuses messages below the hundredth. Above the value of an attribute are
# request, resource, scope, span, event and KeyValue, and itself.
_ROOM = 93
_ROOM_OF_LIST = 2
_ROOM_OF_MAPPING = 3


class _Name:
    """What is known of a name of attributes.

    Attributes:
        texts: whole attributes, by text.

    Args:
        name: the name.
        tag: what the attribute is put behind, with its length; empty for nothing.
    """

    __slots__ = ("_before", "_head", "_tag", "texts")

    def __init__(self, name: Any, tag: bytes) -> None:
        self.texts: dict[str, bytes] = {}
        self._before: dict[int, bytes] = {}
        self._head = b""
        self._tag = tag
        if type(name) is str:
            with suppress(UnicodeError):
                encoded = name.encode()
                if 0 < len(encoded) < ONE_BYTE:
                    self._head = field(_KEY, encoded) + _VALUE

    def short_text(self, value: str) -> bytes | None:
        """Encode a text; none where it, or the name, is long or strange."""
        if self._head and len(value) < len(_TEXTS):
            with suppress(UnicodeError):
                text = value.encode()
                size = len(text)
                if size < len(_TEXTS):
                    before = self._before.get(3 + size) or self._make(3 + size)
                    return before + _TEXTS[size] + text
        return None

    def number(self, value: Any) -> bytes | None:
        """Encode a number or a truth; none where it is none, or strange, or the name is."""
        sort = type(value)
        if sort is float:
            rest = _DOUBLE + _pack_double(value)
        elif sort is bool:
            rest = _BOOLS[value]
        elif sort is int and 0 <= value < _TOO_LARGE:
            number = varint(value)
            rest = _INTS[len(number)] + number
        else:
            return None
        if not self._head:
            return None
        return (self._before.get(len(rest)) or self._make(len(rest))) + rest

    def _make(self, size: int) -> bytes:
        """Return what comes before a value of so many bytes."""
        head = self._head
        before = self._tag + varint(len(head) + size) + head if self._tag else head
        self._before[size] = before
        return before


class Attributes:
    """Encodes attributes, and keeps texts that it has encoded for the next time.

    May be used by many threads: what is kept is only ever added to or dropped as a whole.

    Args:
        at_most: how many texts are kept until all are forgotten, and how many names.
        tag: what each is put behind, with its length, where it is a field of a message that is put
            together by hand.
    """

    def __init__(self, at_most: int = 4096, tag: bytes = b"") -> None:
        self._at_most = at_most
        self._tag = tag
        self._names: dict[str, _Name] = {}
        self._texts = 0

    def encode(self, attributes: Mapping[str, Any] | None) -> list[bytes]:
        """Return each attribute as an encoded KeyValue, or a field that holds it.

        One that cannot be encoded is left out, and counted by the guard.
        """
        if not attributes:
            return []
        if type(attributes) is not dict:
            attributes = _plain(attributes)
        names = self._names
        encoded = []
        for key, value in attributes.items():
            name = names.get(key) or self._name(key)
            if type(value) is str:
                known = name.texts.get(value) or self._text(name, key, value)
            else:
                known = name.number(value) or self._by_protobuf(key, value)
            if known is not None:
                encoded.append(known)
        return encoded

    def _name(self, key: str) -> _Name:
        if len(self._names) >= self._at_most:
            self._names = {}
        made = self._names[key] = _Name(key, self._tag)
        return made

    def _text(self, name: _Name, key: str, value: str) -> bytes | None:
        """Encode a text that was not met lately, and keep it."""
        known = name.short_text(value) or self._by_protobuf(key, value)
        if known is not None and len(value) <= _LONGEST_KEPT:
            if self._texts >= self._at_most:
                self._texts = 0
                for one in list(self._names.values()):
                    one.texts = {}
            self._texts += 1
            name.texts[value] = known
        return known

    def _by_protobuf(self, key: str, value: Any) -> bytes | None:
        known = key_value(key, value)
        return field(self._tag, known) if known is not None and self._tag else known


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as a dictionary: the SDK's kind takes a lock for each that it is asked."""
    copy = getattr(attributes, "copy", None)
    copied = attributes if copy is None else copy()
    return copied if type(copied) is dict else dict(copied)


def key_value(key: str, value: Any) -> bytes | None:
    """Return an attribute as an encoded KeyValue; none if OTLP has no type for its value."""
    message = lean.KeyValue()
    try:
        _set_key(message, key)
        set_value(message.value, value)
    except Exception as error:  # noqa: BLE001 - a value may be of any class
        failed("otel_dify.export.encoding.attribute", error)
        return None
    encoded: bytes = message.SerializeToString()
    return encoded


def any_value(value: Any) -> bytes:
    """Return a value as an encoded AnyValue.

    Raises:
        TypeError: OTLP has no type for it.
        ValueError: lists and mappings in it are nested deeper than parsers read.
    """
    message = lean.KeyValue().value
    set_value(message, value)
    encoded: bytes = message.SerializeToString()
    return encoded


def set_value(message: Any, value: Any, room: int = _ROOM) -> None:  # noqa: C901 - one case a type
    """Set an AnyValue.

    Args:
        message: the message that is set.
        value: what it is set to.
        room: messages that a parser still takes below this one.

    Raises:
        TypeError: OTLP has no type for a value.
        ValueError: lists and mappings are nested deeper than parsers read.
    """
    if isinstance(value, str):
        try:
            message.string_value = value
        except UnicodeError:
            message.string_value = encodable(value)
    elif value is None:
        message.SetInParent()
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, int):
        try:
            message.int_value = value
        except ValueError:
            message.string_value = int.__repr__(value)
    elif isinstance(value, float):
        message.double_value = value
    elif isinstance(value, bytes):
        message.bytes_value = value
    elif isinstance(value, Sequence):
        _set_list(message.array_value, value, room - _ROOM_OF_LIST)
    elif isinstance(value, Mapping):
        _set_mapping(message.kvlist_value, value, room - _ROOM_OF_MAPPING)
    else:
        raise TypeError(f"OTLP has no type for {type(value).__name__}")


def _set_list(message: Any, values: Sequence[Any], room: int) -> None:
    message.SetInParent()
    if room < 0:
        raise ValueError("a list is nested too deep")
    for value in values:
        set_value(message.values.add(), value, room)


def _set_mapping(message: Any, values: Mapping[Any, Any], room: int) -> None:
    message.SetInParent()
    if room < 0:
        raise ValueError("a mapping is nested too deep")
    for key, value in values.items():
        pair = message.values.add()
        _set_key(pair, str(key))
        set_value(pair.value, value, room)


def _set_key(message: Any, key: str) -> None:
    try:
        message.key = key
    except UnicodeError:
        message.key = encodable(key)


def as_text(value: object) -> str:
    """Return text that OTLP can hold of what should have been one."""
    return "" if value is None else encodable(value if isinstance(value, str) else str(value))


def as_number(value: Any) -> int:
    """Return a number that 64 bits can hold, zero or more, of what should have been one."""
    return 0 if value is None else min(max(int(value), 0), (1 << 64) - 1)
