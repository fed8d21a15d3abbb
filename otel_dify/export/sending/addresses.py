"""Credentials within addresses: sent as a header, and never shown."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import SplitResult, unquote

_CREDENTIALS = re.compile(r"(?<=://)[^/?#]*@|^[^/?#]*@")
_QUERY = re.compile(r"\?.*", re.DOTALL)


def basic(parts: SplitResult) -> str:
    """Return the credentials of an address as the header ``Authorization`` has them, if any."""
    if parts.username is None:
        return ""
    user, password = unquote(parts.username), unquote(parts.password or "")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def without_credentials(parts: SplitResult) -> SplitResult:
    """Return an address as requests go to it: without user, password and fragment."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")


def masked(address: str) -> str:
    """Write an address, even one that is none, so that it can be shown."""
    return _QUERY.sub("?***", _CREDENTIALS.sub("***@", address))
