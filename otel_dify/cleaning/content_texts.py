"""The texts in content: of a value of any depth what users, models and tools wrote in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

LIMIT = 32_768
"""Characters known of one value: three quarters of them its beginning, the rest its end."""
_DEPTH = 8
_PEEKED = 8
_HEAVY = 2 * LIMIT
_LONGEST_NAME = 64
_ID = re.compile(r"[0-9a-fA-F-]{32,36}|[\d.:TZ+-]+")
# Keys below which the engine keeps names, beside what was written; and how something ended.
_NAMES = re.compile(
    r"(?:.*_)?(?:id|type|role|user|mode|provider|model|method|currency|language|position)"
    r"|provider_name|model_name|finish_reason|status|extension|mime_type|storage_key|icon"
    r"|sys\.(?!query|files).*"
)
_OUTCOMES = frozenset({"error_message", "error_type", "usage"})


def is_heavy(value: object) -> bool:
    """Tell whether a value holds a text that is too large to be kept alive, two levels deep.

    It is asked of all content: types are told apart by what nearly all are, and a few parts seen.
    """
    if type(value) is str:
        return len(value) > _HEAVY
    for part in islice(_inner(value), _PEEKED):
        if type(part) is str:
            if len(part) > _HEAVY:
                return True
        elif type(part) is list and any(_holds_heavy(inner) for inner in part[:_PEEKED]):
            return True
    return False


def _inner(value: object) -> Iterable[Any]:
    if type(value) is dict:
        return value.values()
    if type(value) is list:
        return (value,)
    # A function that makes the content, with what it is made from.
    return value.args if type(value) is partial else ()


def _holds_heavy(value: object) -> bool:
    """The same of one of many: a text, a prompt as the engine writes it, a message of a model."""
    if type(value) is dict:
        value = value.get("text") or value.get("content")
    elif type(value) is not str:
        value = getattr(value, "__dict__", {}).get("content")
    return type(value) is str and len(value) > _HEAVY


def texts_of(value: object) -> Iterator[str]:
    """Give the texts in a value of any depth, ``LIMIT`` characters of it."""
    left = LIMIT
    for leaf in _texts(value, _DEPTH):
        if left <= 0:
            return
        kept = leaf if len(leaf) <= left else f"{leaf[: left * 3 // 4]}\n{leaf[-left // 4 :]}"
        left -= len(leaf) + 1
        yield kept


def _texts(value: Any, depth: int) -> Iterator[str]:
    """Give the texts in a value: what names and counts things, and what is no text, is left out."""
    if isinstance(value, str):
        if not _ID.fullmatch(value):
            yield value
        return
    if depth and value is not None and not isinstance(value, int | float | bytes):
        for part in _parts(value):
            yield from _texts(part, depth - 1)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return (part for key, part in value.items() if not _is_name(key, part))
    if isinstance(value, list | tuple | set | frozenset):
        return value
    # Models of pydantic, which engine and model runtime pass around.
    if callable(dump := getattr(value, "model_dump", None)):
        return (dump(mode="json"),)
    return (value(),) if callable(value) else ()


def _is_name(key: object, value: object) -> bool:
    """Tell whether a value only names something: one word of ASCII below a key for such.

    An app may call an input ``position`` too, and what is written there is content.
    """
    if not isinstance(key, str) or len(key) > _LONGEST_NAME:
        return False
    if key in _OUTCOMES or (key == "model" and isinstance(value, Mapping) and "provider" in value):
        return True
    word = isinstance(value, str) and value.isascii() and len(value.split()) == 1
    return word and _NAMES.fullmatch(key) is not None
