"""Free text and attributes of any name, cleaned: cut to a limit, then searched for secrets once."""

from __future__ import annotations

from functools import lru_cache

from otel_dify.cleaning.redaction import LIMIT, MASK, cut, mask_text, names_a_secret
from otel_dify.cleaning.values import Value, as_value

_SHORT = 256


@lru_cache(maxsize=4096)
def _short(text: str) -> str:
    """Clean a short text; most are names of the few apps, models and nodes that there are."""
    return mask_text(text)


def clean(text: str, limit: int = LIMIT) -> str:
    """Return a text without secrets, cut to ``limit`` characters before it is searched."""
    return _short(text) if len(text) <= _SHORT else mask_text(cut(text, limit))


def clean_value(value: object, limit: int = LIMIT) -> Value:
    """Return a value that OpenTelemetry accepts, its texts cleaned."""
    plain = as_value(value)
    if isinstance(plain, str):
        return clean(plain, limit)
    if isinstance(plain, bool | int | float):
        return plain
    return tuple(clean(part, limit) for part in plain)


def clean_attribute(key: str, value: object) -> Value:
    """Clean the value of an attribute that is not in the table: its key may name a secret."""
    plain = clean_value(value)
    return MASK if plain and names_a_secret(key) else plain
