"""Secrets of Dify's settings, which no answer may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

from otel_dify.export.sending.addresses import masked

_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN$|_KEY$|HEADERS|DSN|CREDENTIAL", re.IGNORECASE)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SHORTEST = 3
"""Characters from which on a value is looked for: a shorter one would be found in any text."""
_SWITCHES = frozenset({"true", "false"})
_MOST = 300
"""Characters of a text that are told."""


def without_secrets(text: str, environ: Mapping[str, str]) -> str:
    """Return a text on one line, short, and without the secrets that an environment holds.

    Args:
        text: what is to be told.
        environ: the variables; values whose names say that they are secret, and the credentials
            within addresses, are masked wherever they stand.
    """
    plain = " ".join(text.split())
    for secret in sorted(_secrets(environ), key=len, reverse=True):
        plain = plain.replace(secret, "***")
    plain = _ADDRESS.sub(lambda found: masked(found[0]), plain)
    return plain if len(plain) <= _MOST else plain[: _MOST - 1] + "…"


def _secrets(environ: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    for name, value in environ.items():
        if _SECRET.search(name):
            found.add(value.strip())
        elif "://" in value and "@" in value:
            found.update(_passwords(value))
    found |= {unquote(value) for value in found} | {quote(value, safe="") for value in found}
    return {value for value in found if len(value) >= _SHORTEST and value not in _SWITCHES}


def _passwords(address: str) -> set[str]:
    """Return the passwords within addresses, of which a variable may have several."""
    found = set()
    for part in re.split(r"[,;\s]+", address):
        try:
            password = urlsplit(part).password
        except ValueError:
            continue
        if password:
            found.add(password)
    return found
