"""Attributes: names and values as OTLP's KeyValue, encoded once and kept.

Values become what OTLP's mapping of attribute types says
(https://opentelemetry.io/docs/specs/otel/common/attribute-type-mapping/): integers of more than 64
bits are sent as text. Text that UTF-8 cannot write has ``?`` where it cannot. An attribute that
OTLP has no type for is left out; the others, and the span or record, are sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from otel_dify.cleaning.values import encodable
from otel_dify.export.encoding import lean
from otel_dify.guard import failed

# Longer texts are not met twice.
_LONGEST_KEPT = 200
# A parser of protobuf refuses messages below the hundredth. Above the value of an attribute are
# request, resource, scope, span, event and KeyValue, and itself.
_ROOM = 93
_ROOM_OF_LIST = 2
_ROOM_OF_MAPPING = 3


class Attributes:
    """Encodes attributes, and keeps what it has encoded for the next time.

    May be used by many threads: what is kept is only ever added to or replaced as a whole.

    Args:
        at_most: how many attributes are kept before the oldest are forgotten; twice as many while
            new ones come.
    """

    def __init__(self, at_most: int = 4096) -> None:
        self._at_most = at_most
        # By name and text, or by name, value and type: 1, 1.0 and True are the same key else.
        self._kept: dict[tuple[Any, ...], bytes] = {}
        self._older: dict[tuple[Any, ...], bytes] = {}

    def encode(self, attributes: Mapping[str, Any] | None) -> list[bytes]:
        """Return each attribute as an encoded KeyValue.

        One that cannot be encoded is left out, and counted by the guard.
        """
        if not attributes:
            return []
        if type(attributes) is not dict:
            attributes = _plain(attributes)
        kept = self._kept
        encoded = []
        for item in attributes.items():
            key, value = item
            sort = type(value)
            if sort is str:
                name: tuple[Any, ...] = item
            elif sort is int or sort is bool:
                name = (key, value, sort)
            else:
                # Zeros have a sign and NaN is not itself; lists change.
                made = key_value(key, value)
                if made is not None:
                    encoded.append(made)
                continue
            known = kept.get(name)
            if known is None:
                known = self._older.get(name) or key_value(key, value)
                if known is None:
                    continue
                if sort is not str or len(value) <= _LONGEST_KEPT:
                    self._keep(name, known)
            encoded.append(known)
        return encoded

    def _keep(self, name: tuple[Any, ...], encoded: bytes) -> None:
        kept = self._kept
        if len(kept) >= self._at_most:
            self._older = kept
            self._kept = kept = {}
        kept[name] = encoded


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
