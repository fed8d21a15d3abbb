"""Names of secrets: which keys of mappings, parameters and headers have one for their value."""

from __future__ import annotations

import re
from functools import lru_cache

LITERALS = ("key", "token", "secret", "pass", "pwd", "authori", "cookie", "credential")
"""One of these is in every name, in lower case, but for the Chinese ones; the name ends with it or
with what ``ENDS`` has."""
_CHINESE = ("密码", "口令", "密钥", "令牌", "授权码", "访问凭证")
ESCAPED = tuple(name.encode("unicode_escape").decode() for name in _CHINESE)
"""The Chinese ones as JSON escapes them (``\\u5bc6…``)."""
CHINESE = (*_CHINESE, *ESCAPED)
KEYS = tuple(
    f"{whose}{joint}"
    for whose in (
        *("api", "access", "private", "secret", "account", "master", "encrypt", "encryption"),
        *("sign", "signing", "subscription", "license", "licence", "auth", "app", "service"),
        "security",
    )
    for joint in ("", "_", "-", " ")
)
"""What stands before ``key`` in a name; other keys are those of mappings and of keyboards."""
LONGEST_KEY = max(map(len, KEYS))
_MORE = r"(?:[_-]?(?:value|confirm(?:ation)?|[0-9])(?![A-Za-z0-9]))?"
ENDS = (
    r"(?:pass(?:words?|wd|phrase|code)?(?:(?<=word)[_-](?!(?:policy|min|max|len|reset|expir|hint|"
    r"field|page|url|enabled|required|changed|strength|rule|at\b|regex|length|check|valid))"
    r"[A-Za-z_-]{1,30})?|pwd|tokens?|secrets?(?:[_-]?id)?|credentials?|"
    rf"authorization|cookie|keys?|(?:(?<=access.)|(?<=access))key[_-]?id){_MORE}"
)
"""The names from their literal on. ``tokens`` is none: tokens are counted."""
_END = re.compile(rf"{ENDS}$", re.IGNORECASE)


def may_name(lowered: str) -> bool:
    """Tell whether a text in lower case may have the name of a secret in it."""
    # Not by a loop over `LITERALS`, which costs as much as the search of a line.
    return (
        "key" in lowered
        or "token" in lowered
        or "secret" in lowered
        or "pass" in lowered
        or "pwd" in lowered
        or "authori" in lowered
        or "cookie" in lowered
        or "credential" in lowered
        or ("\\u" in lowered and any(name in lowered for name in ESCAPED))
        or not (lowered.isascii() or all(name not in lowered for name in _CHINESE))
    )


def is_name(lowered: str, start: int, end: int) -> bool:
    """Tell whether what fits ``ENDS`` is the end of a name of a secret.

    Args:
        lowered: the text, in lower case.
        start: where its literal begins.
        end: where it ends.
    """
    if lowered.startswith("key", start):
        return lowered.endswith(KEYS, max(start - LONGEST_KEY, 0), start)
    if end - start == _PASS and lowered.startswith("pass", start):
        return lowered[max(start - 1, 0) : start] in {"_", "-", "."}
    return not (lowered.startswith("tokens", start) and end == start + len("tokens"))


_PASS = len("pass")


@lru_cache(maxsize=4096)
def names_a_secret(key: str) -> bool:
    """Tell whether a key (``api_key``, ``X-Api-Key``, ``db.password``) names a secret."""
    found = _END.search(key)
    if found is None:
        return key.endswith(CHINESE)
    return is_name(key.lower(), found.start(), found.end())
