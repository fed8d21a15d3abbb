"""Asking a server by HTTP: one GET, its answer and its clock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from otel_dify.export.sending.addresses import basic, without_credentials
from otel_dify.export.sending.answers import one_line

if TYPE_CHECKING:
    from ssl import SSLContext

# `<…Connection object at 0x…>: `, and `HTTPConnection(host='…', port=…): ` in newer versions.
_OBJECT = re.compile(r"^.*?(?:>|\)): (?=[A-Z\[])")


class Unanswered(Exception):  # noqa: N818 - it is the other side that failed
    """There was no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer.

    Attributes:
        status: its code.
        body: its body.
        date: the header of this name, or nothing.
    """

    status: int
    body: bytes
    date: str


def get(
    url: str,
    timeout_s: float,
    parameters: Mapping[str, str] | None = None,
    context: SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send a GET.

    Args:
        url: where to; user and password in it are sent as a header.
        timeout_s: seconds that it may take altogether.
        parameters: what is asked, put behind the address.
        context: for TLS; urllib3's own where none is given.
        headers: what is sent besides.

    Raises:
        Unanswered: it failed.
    """
    import urllib3

    try:
        parts = urlsplit(url)
        credentials = basic(parts)
        sent = ({"Authorization": credentials} if credentials else {}) | dict(headers or {})
        asked = without_credentials(parts).geturl()
        if parameters:
            asked = f"{asked}?{urlencode(parameters)}"
        with urllib3.PoolManager(ssl_context=context) as pool:
            timeout = urllib3.Timeout(total=timeout_s)
            answer = pool.request(
                "GET", asked, headers=sent, timeout=timeout, retries=False, redirect=False
            )
            return Reply(answer.status, answer.data, answer.headers.get("Date", ""))
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise Unanswered(_why(error)) from error


def _why(error: Exception) -> str:
    """Say an error of urllib3's without the object that it begins with."""
    text = _OBJECT.sub("", one_line(str(error)))
    return text or type(error).__name__
