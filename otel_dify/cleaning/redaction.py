"""Redaction: secrets, and data of persons, are masked in all that leaves, in all three signals.

They are known by the name that they stand under (``names.py``, ``named.py``), by where they stand
in an address (``addresses.py``), by their form (``forms.py``, ``personal.py``) and by the
operator's patterns (``patterns.py``); in Base64 and percent-encoded as well. Each search has a
cheap test before it, since most texts have nothing to be masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from otel_dify.cleaning.addresses import mask_addresses, mask_query
from otel_dify.cleaning.choices import Choices, chosen
from otel_dify.cleaning.named import MASK, mask_named
from otel_dify.cleaning.names import may_name, names_a_secret
from otel_dify.cleaning.patterns import mask_own
from otel_dify.cleaning.personal import has_number
from otel_dify.cleaning.values import encodable
from otel_dify.cleaning.words import mask_words

LIMIT = 16_384
"""Characters kept of a text that the table knows no limit for: a message, a stack trace."""
_OVERLAP = 256
_DEPTH = 2
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?=(?:\s|\\{1,8}[nr]){1,8}\S{8})"
    r"(?:[^-]|-(?!----END))*(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
)
# Signs of an address that are not encoded stand between its parts.
_CHUNK = re.compile(r"[^\s\"'<>&#?]+")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_SAFE = "/:?&=#[]@!$'()*+,;~|{}\\^`"
# Whose ids are sent as hashes where that is chosen.
USERS = frozenset(
    {
        *("user.id", "enduser.id", "user_id", "userid", "sys.user_id", "end_user_id"),
        *("from_end_user_id", "langfuse.user.id", "user.email", "user.name", "user.full_name"),
    }
)


class _Mask:
    """Masks the secrets in a value of any depth, up to a number of characters.

    What comes after them is neither searched nor kept.

    Args:
        limit: characters of text that are kept, all texts of the value together.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._choices = chosen()

    def of(self, value: object) -> object:
        """Return ``value`` with every secret in it masked; containers are copied."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            if _is_named_pair(value):
                return [self.of(next(iter(value))), MASK]
            return [self.of(inner) for inner in value if self._left > 0]
        self._left -= 1
        return value

    def _mapping(self, value: Mapping[object, object]) -> dict[object, object]:
        named = _names_its_value(value)
        masked: dict[object, object] = {}
        for key, inner in value.items():
            if self._left <= 0:
                break
            if isinstance(key, str):
                lowered = key.lower()
                if inner and (_hides(key, inner) or (named and lowered in _VALUES)):
                    masked[key] = MASK
                    continue
                if lowered in USERS and self._choices.hashes_users and isinstance(inner, str):
                    masked[key] = self._choices.user(inner)
                    continue
                masked[mask_text(key) if len(key) >= _LONG_KEY else key] = self.of(inner)
            else:
                masked[key] = self.of(inner)
        return masked

    def _text(self, text: str) -> str:
        kept = mask_up_to(text, self._left)
        # Empty ones count as well, so that a list of them comes to an end.
        self._left -= min(len(text), self._left) + 1
        return kept


_LONG_KEY = 16
_FEW = 100_000
_NAMES_OF_NAMES = ("name", "key", "variable", "field", "header", "label", "id")
_VALUES = frozenset({"value", "val", "default", "content", "data"})


def _hides(key: str, value: object) -> bool:
    """Tell whether a value under a key is a secret; a small number is a count."""
    counted = type(value) is int and abs(value) < _FEW
    return names_a_secret(key) and not (counted and key.lower().endswith("token"))


def _names_its_value(value: Mapping[object, object]) -> bool:
    """Tell whether a mapping is a pair, ``{"name": "api_key", "value": …}``, of a secret."""
    if not _VALUES.isdisjoint(value):
        for name in _NAMES_OF_NAMES:
            named = value.get(name)
            if isinstance(named, str) and names_a_secret(named.strip()):
                return True
    return False


def _is_named_pair(value: object) -> bool:
    """Tell whether a tuple is a pair, ``("Authorization", …)``, of a secret."""
    if type(value) is not tuple or len(value) != 2:  # noqa: PLR2004 - a pair
        return False
    name, inner = value
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    return isinstance(name, str) and bool(inner) and names_a_secret(name)


def mask(value: object, limit: int = LIMIT) -> object:
    """Return ``value`` with every secret in it masked, up to ``limit`` characters of text."""
    return _Mask(limit).of(value)


def cut(text: str, limit: int) -> str:
    """Cut a text to a number of characters, and say how many it had."""
    return text if len(text) <= limit else f"{text[: max(limit, 0)]}… ({len(text)} characters)"


def mask_up_to(text: str, limit: int) -> str:
    """Mask the secrets in the first characters of a text, and cut it there.

    A little more is searched than is kept, so that a secret which is cut is known by its form.
    """
    limit = max(limit, 0)
    if len(text) <= limit:
        return mask_text(text)
    masked = mask_text(text[: limit + _OVERLAP]) if limit else ""
    return f"{masked[:limit]}… ({len(text)} characters)"


def mask_text(text: str) -> str:
    """Mask the secrets in a text; return one that can be sent."""
    return _masked(encodable(text), _DEPTH)


def _masked(text: str, depth: int) -> str:
    """Mask the secrets in a text, and in what it has encoded, so many times over."""
    lowered = text.lower()
    if may_name(lowered):
        if "PRIVATE KEY" in text:
            text = _PRIVATE_KEY.sub(MASK, text)
        text = mask_named(text, lowered)
    if "://" in text:
        text = mask_addresses(text)
    if "=" in text and ("?" in text or "&" in text or ";" in text):
        text = mask_query(text)
    raw = text.encode()
    worded = mask_words(raw, _MASK_BYTES, _is_masked, depth)
    if worded is not raw:
        text = worded.decode()
    choices = chosen()
    if choices.persons:
        text = _mask_persons(text, raw, choices)
    if depth and "%" in text and _ESCAPE.search(text):
        text = _CHUNK.sub(lambda found: _percent_masked(found[0], depth - 1), text)
    return text


def _mask_persons(text: str, raw: bytes, choices: Choices) -> str:
    """Mask what the operator has chosen besides secrets."""
    if choices.numbers and has_number(raw):
        for mask_number in choices.numbers:
            text = mask_number(text, MASK)
    if choices.emails is not None and "@" in text:
        text = choices.emails(text, MASK)
    if choices.ips is not None:
        text = choices.ips(text, MASK)
    return mask_own(text, choices.patterns, MASK) if choices.patterns else text


_MASK_BYTES = MASK.encode()


def _is_masked(text: str, depth: int) -> bool:
    """Tell whether there is anything to be masked in what a text had encoded."""
    return _masked(text, depth - 1) != text


def _percent_masked(chunk: str, depth: int) -> str:
    """Mask what is percent-encoded in a word."""
    if "%" not in chunk:
        return chunk
    plain = encodable(unquote(chunk))
    masked = _masked(plain, depth)
    return chunk if masked == plain else quote(masked, safe=_SAFE)
