"""The redactor: the recorder that comes first, so that no signal is made of a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dify.operations.attributes import all_attributes
from otel_dify.processors.redaction import MASK, mask_text, names_a_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_dify.operations.operation import Operation
    from otel_dify.operations.values import Value

REMEMBERED = 4096
"""Texts without a secret that are remembered: most attributes are ids and names of the few apps,
models and nodes that there are. Only short ones; when there are this many, all are forgotten."""
_SHORT = 256
_clean: set[str] = set()
# Names of the table are none of a secret, though one ends with `time_to_first_token`.
_TABLE = frozenset(attribute.key for attribute in all_attributes())


class Redactor:
    """Masks secrets in the attributes and happenings of operations, whoever set them.

    Content is not among them: it is masked where it is serialised (``processors/content.py``).
    """

    def start(self, operation: Operation) -> None:
        """Mask what is known at the start: span names and samplers are given it."""
        operation.attributes.update(_masked(operation.attributes))

    def end(self, operation: Operation) -> None:
        """Mask what has been learned."""
        operation.attributes.update(_masked(operation.attributes))
        operation.events = [
            (name, at_ns, {**attributes, **_masked(attributes)})
            for name, at_ns, attributes in operation.events
        ]


def _masked(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Return those attributes whose values change."""
    changed: dict[str, Value] = {}
    # A list: what lies below may be hoisting its ids from another thread.
    for key, value in list(attributes.items()):
        if isinstance(value, bool | int | float):
            continue
        if key not in _TABLE and names_a_secret(key):
            changed[key] = MASK
        elif not isinstance(value, str):
            changed[key] = [_text(part) for part in value]
        elif value not in _clean and (masked := _text(value)) != value:
            changed[key] = masked
    return changed


def _text(text: str) -> str:
    masked = mask_text(text)
    if masked == text and len(text) <= _SHORT:
        if len(_clean) >= REMEMBERED:
            _clean.clear()
        _clean.add(text)
    return masked
