"""Free text and attributes of any name, cleaned: cut to a limit, and searched for secrets once."""

from __future__ import annotations

from functools import lru_cache

from otel_dify import settings as s
from otel_dify.cleaning.choices import choose_by, chosen
from otel_dify.cleaning.named import MASK
from otel_dify.cleaning.names import names_a_secret
from otel_dify.cleaning.redaction import LIMIT, USERS, mask_text, mask_up_to
from otel_dify.cleaning.values import Value, as_value
from otel_dify.table.attribute import Attribute

_SHORT = 256


def choose(settings: s.Settings) -> None:
    """Clean by an operator's settings from now on."""
    choose_by(settings)
    _short.cache_clear()


@lru_cache(maxsize=4096)
def _short(text: str) -> str:
    """Clean a short text; most are names of the few apps, models and nodes that there are."""
    return mask_text(text)


def clean(text: str, limit: int = LIMIT) -> str:
    """Return a text without secrets, cut to ``limit`` characters."""
    return _short(text) if len(text) <= _SHORT else mask_up_to(text, limit)


def clean_value(value: object, limit: int = LIMIT) -> Value:
    """Return a value that OpenTelemetry accepts, its texts cleaned."""
    if isinstance(value, str):
        return clean(value, limit)
    if isinstance(value, list | tuple):
        return _clean_parts(value, limit)
    plain = as_value(value)
    return clean(plain, limit) if isinstance(plain, str) else plain


def _clean_parts(parts: list[object] | tuple[object, ...], limit: int) -> tuple[str, ...]:
    """Clean the parts of a list, all of them together up to ``limit`` characters."""
    cleaned: list[str] = []
    left = limit
    for number, part in enumerate(parts):
        if left <= 0:
            cleaned.append(f"… ({len(parts) - number} more)")
            break
        cleaned.append(clean(str(part), left))
        left -= len(cleaned[-1]) + 1
    return tuple(cleaned)


def clean_user(value: object, limit: int = LIMIT) -> Value:
    """Clean the id of a user, which the operator may have chosen to send as a hash."""
    return clean_value(chosen().user(value), limit)


def clean_known(attribute: Attribute, value: object) -> Value:
    """Return a value of an attribute of the table, clean where it is free text."""
    if not attribute.text:
        return as_value(value)
    if attribute.user:
        return clean_user(value, attribute.text)
    return clean_value(value, attribute.text)


def clean_attribute(key: str, value: object) -> Value:
    """Clean the value of an attribute that is not in the table: its key may name a secret."""
    if key in USERS:
        return clean_user(value)
    plain = clean_value(value)
    return MASK if plain and names_a_secret(key) else plain
