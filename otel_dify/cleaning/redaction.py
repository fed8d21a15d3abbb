"""Redaction: values under the names of secrets are masked, in all three signals.

Masked are mapping entries whose key names a secret; ``key=value`` and ``"key": "value"`` inside
text, JSON and Python's notation of any depth included; and passwords in addresses. The names are
those that operators of Dify mask today. In text a value without quotes ends at the first space,
comma, semicolon, ampersand or closing brace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from otel_dify.cleaning.values import encodable

MASK = "***"
LIMIT = 16_384
"""Characters kept of a text that the table knows no limit for: a message, a stack trace."""
_NAMES = (
    r"password|passwd|token|secret|credentials?|authorization|cookie|"
    r"(?:api|access|private|secret)[_-]?key"
)
_KEY = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE)
# The name of a secret, the quote that closes it (within a string behind backslashes), the sign.
_SIGNED = re.compile(rf"(?P<name>{_NAMES})(?P<quote>\\*[\"'])?\s*(?P<sign>[:=])\s*", re.IGNORECASE)
_QUOTE = re.compile(r"\\*[\"']")
_BARE = re.compile(r"(?:bearer|basic)\s+[^\s\"',;&}]+|[^\s\"',;&}]+", re.IGNORECASE)
# Values of these headers have spaces and semicolons in them.
_HEADERS = frozenset({"authorization", "cookie"})
_LINE = re.compile(r"[^\r\n\"'}]+")
_IN_ADDRESS = re.compile(r"(?<=://)(?P<user>[^\s/:@\"',]*):[^\s/@\"',]+@")
_CLOSING = {"{": "}", "[": "]", "(": ")"}
_IN_BRACKETS = re.compile(r"[{}\[\]()]|(?<!\\)\\*[\"']")
# A cheap test for the many texts without any of the names: one of these is in each of them.
_LITERALS = ("key", "token", "secret", "passw", "://", "authori", "cookie", "credential")


@lru_cache(maxsize=4096)
def names_a_secret(key: str) -> bool:
    """Tell whether a key (``api_key``, ``X-Api-Key``, ``db.password``) names a secret."""
    return _KEY.search(key) is not None


class _Mask:
    """Masks the secrets in a value of any depth, up to a number of characters.

    What comes after them is neither searched nor kept: a text is cut before it is searched.

    Args:
        limit: characters of text that are kept, all texts of the value together.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit

    def of(self, value: object) -> object:
        """Return ``value`` with every secret in it masked; containers are copied."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {
                key: MASK
                if isinstance(key, str) and names_a_secret(key) and inner
                else self.of(inner)
                for key, inner in value.items()
                if self._left > 0
            }
        if isinstance(value, list | tuple | set | frozenset):
            return [self.of(inner) for inner in value if self._left > 0]
        self._left -= 1
        return value

    def _text(self, text: str) -> str:
        kept = cut(text, self._left)
        # Empty ones count as well, so that a list of them comes to an end.
        self._left -= len(kept) + 1
        return mask_text(kept)


def mask(value: object, limit: int = LIMIT) -> object:
    """Return ``value`` with every secret in it masked, up to ``limit`` characters of text."""
    return _Mask(limit).of(value)


def cut(text: str, limit: int) -> str:
    """Cut a text to a number of characters, and say how many it had."""
    return text if len(text) <= limit else f"{text[: max(limit, 0)]}… ({len(text)} characters)"


def mask_text(text: str) -> str:
    """Mask what stands behind the name of a secret in a text; return one that can be sent."""
    text = encodable(text)
    lowered = text.lower()
    if not any(literal in lowered for literal in _LITERALS):
        return text
    parts: list[str] = []
    done = 0
    while found := _SIGNED.search(text, done):
        start = found.end()
        end = _end_of_value(text, start, found)
        parts.append(text[done:start])
        if end > start:
            quote = found["quote"] or _quote_at(text, start)
            parts.append(f"{quote}{MASK}{quote}")
        done = end
    masked = "".join(parts) + text[done:]
    return _IN_ADDRESS.sub(rf"\g<user>:{MASK}@", masked) if "://" in masked else masked


def _end_of_value(text: str, start: int, found: re.Match[str]) -> int:
    """Find where the value ends that begins at ``start``."""
    bytes_prefix = 1 if text[start : start + 2] in {"b'", 'b"'} else 0
    if quote := _quote_at(text, start + bytes_prefix):
        return _end_of_quoted(text, start + bytes_prefix + len(quote), quote)
    if text[start : start + 1] in _CLOSING:
        return _end_of_brackets(text, start)
    to_line_end = found["name"].lower() in _HEADERS and found["sign"] == ":"
    bare = (_LINE if to_line_end else _BARE).match(text, start)
    return bare.end() if bare else start


def _quote_at(text: str, at: int) -> str:
    found = _QUOTE.match(text, at)
    return found[0] if found else ""


def _end_of_quoted(text: str, start: int, quote: str) -> int:
    """Find the end of a quoted value: the same quote, not escaped; of a cut text its end."""
    at = text.find(quote, start)
    while at > start and text[at - 1] == "\\":
        at = text.find(quote, at + 1)
    return len(text) if at < 0 else at + len(quote)


def _end_of_brackets(text: str, start: int) -> int:
    """Find the bracket that closes the one at ``start``; of a cut text its end."""
    expected: list[str] = []
    at = start
    while found := _IN_BRACKETS.search(text, at):
        at = found.end()
        part = found[0]
        if part in _CLOSING:
            expected.append(_CLOSING[part])
        elif part[-1] in "\"'":
            at = _end_of_quoted(text, at, part)
        elif part == expected[-1]:
            expected.pop()
            if not expected:
                return at
    return len(text)
