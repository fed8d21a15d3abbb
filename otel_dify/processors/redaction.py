"""Redaction: values under the names of secrets are masked, in all three signals.

Masked are mapping entries whose key names a secret, and ``key=value`` or ``"key": "value"`` inside
text. The names are those that operators of Dify mask today.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"
_NAMES = (
    r"password|passwd|api[_-]?key|secret(?:[_-]?key)?|authorization|"
    r"(?:access|refresh|id|auth|bearer|csrf)[_-]?token|token|cookie|credentials?"
)
_KEY = re.compile(rf"(?:^|[_.\-\s])(?:{_NAMES})$", re.IGNORECASE)
_IN_TEXT = re.compile(
    rf"""(?P<name>\b[\w-]*?(?:{_NAMES})["']?\s*[:=]\s*)"""
    r"""(?P<value>(?:bearer|basic)\s+[^\s"',;&}]+|"[^"]*"|'[^']*'|[^\s"',;&}]+)""",
    re.IGNORECASE,
)
# A cheap test for the many texts without any of the names.
_HINT = re.compile(r"pass|key|secret|token|auth|cookie|credential", re.IGNORECASE)


def names_a_secret(key: str) -> bool:
    """Tell whether a key (``api_key``, ``X-Api-Key``, ``db.password``) names a secret."""
    return _KEY.search(key) is not None


def mask(value: object) -> object:
    """Return ``value`` with every secret in it masked; containers are copied."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and names_a_secret(key) and inner else mask(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask(inner) for inner in value]
    return value


def mask_text(text: str) -> str:
    """Mask what stands behind the name of a secret in a text."""
    if _HINT.search(text) is None:
        return text
    return _IN_TEXT.sub(lambda found: found["name"] + MASK, text)
