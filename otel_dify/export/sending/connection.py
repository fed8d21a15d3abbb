"""One connection to a receiver by HTTP/1.1, held to a deadline whatever the other side does.

urllib3's timeouts are for a single read: a server that sends a byte now and then would hold us for
ever. Here what is left until the deadline is set before every read; a write has one timeout for all
of it, with TLS and without. Loaded with the first request, after gevent has patched, together with
urllib3 and ``ssl``.
"""

from __future__ import annotations

import io
import socket
import ssl
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from otel_dify.export.sending.addresses import basic, without_credentials
from otel_dify.export.sending.answers import Answer
from otel_dify.export.sending.connecting import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from otel_dify.export.sending.exchange import Exchange

LARGEST_BODY = 65_536
"""Bytes that are read of a response; what is longer says nothing that we need."""

_PORTS = {"http": 80, "https": 443}


class _Received(io.RawIOBase):
    """What comes from a socket until the deadline of an exchange."""

    def __init__(self, connection: _Held, sock: socket.socket) -> None:
        self._connection = connection
        self._sock = sock
        self._raw: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        exchange = self._connection.exchange
        self._sock.settimeout(exchange.left())
        number: int = self._raw.readinto(buffer)
        exchange.heard = exchange.heard or number > 0
        return number

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """A response of ``http.client`` that is read until the deadline."""

    def __init__(self, connection: _Held, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Received(connection, sock))


class _Held(HTTPConnection):
    """A connection that is held to the deadline of its exchange."""

    name: str
    exchange: Exchange

    def hold(self, exchange: Exchange) -> None:
        """Begin an exchange."""
        self.exchange = exchange
        # urllib3 sets this before each request and response.
        self.timeout = exchange.left()

    def response_class(self, sock: Any, *args: Any, **kwargs: Any) -> HTTPResponse:  # type: ignore[override]
        """Make a response; elsewhere this is a class, which nothing but calls it."""
        return _Response(self, sock, *args, **kwargs)

    def _new_conn(self) -> socket.socket:
        """Connect; urllib3's own SOCKS connection overrides this as well.

        urllib3 would give every address the whole time, one after the other.
        """
        return connect(self.name, self.port, self.exchange)


class _Plain(_Held):
    """Without TLS."""


class _Secure(_Held, HTTPSConnection):
    """By TLS."""


class Connection:
    """A connection that is used for one request after the other.

    Args:
        url: where requests go.
        proxy: what leads there, if anything.
        context: for TLS; none where neither is spoken by it.
        exchange: the first, which pays for connecting.

    Raises:
        OSError: it cannot be made in time.
    """

    def __init__(
        self,
        url: SplitResult,
        proxy: SplitResult | None,
        context: ssl.SSLContext | None,
        exchange: Exchange,
    ) -> None:
        near = proxy or url
        made = self._made = _unconnected(near, proxy, context)
        made.name = near.hostname or ""
        made.hold(exchange)
        credentials = basic(proxy) if proxy else ""
        for_proxy = {"Proxy-Authorization": credentials} if credentials else {}
        self._for_proxy = {} if url.scheme == "https" else for_proxy
        if proxy and url.scheme == "https":
            host, port = url.hostname or "", _port(url)
            made.set_tunnel(host, port, headers=for_proxy, scheme=proxy.scheme)
        try:
            made.connect()
        except BaseException:
            made.close()
            raise

    @property
    def usable(self) -> bool:
        """Whether the other side has kept it open, and sent nothing that nobody asked for."""
        return self._made.is_connected

    def post(
        self, target: str, body: bytes, headers: Mapping[str, str], exchange: Exchange
    ) -> Answer:
        """Send a request and return the response.

        Args:
            target: a path, or a whole URL for a proxy that forwards.
            body: as it goes over the wire.
            headers: all that is sent, but for the body's length.
            exchange: until when; takes note of what came.

        Raises:
            OSError: it failed, or took too long.
            HTTPException: what came is not HTTP.
        """
        made = self._made
        made.hold(exchange)
        try:
            made.request(
                "POST",
                target,
                body,
                {**headers, **self._for_proxy},
                preload_content=False,
                decode_content=False,
            )
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            # Whoever finds a request too large says so and hangs up before it has all; and what
            # a receiver did not like about TLS is read as well.
            sent = False
        else:
            sent = True
        response = made.getresponse()
        got = response.headers
        body, whole = _read(response)
        if not (sent and whole):
            made.close()
        return Answer(
            response.status,
            got.get("Content-Type", "").lower(),
            got.get("Retry-After", ""),
            got.get("Location", ""),
            body,
        )

    def close(self) -> None:
        """Close it."""
        self._made.close()


def _unconnected(
    near: SplitResult, proxy: SplitResult | None, context: ssl.SSLContext | None
) -> _Held:
    """Make a connection to the receiver, or to the proxy before it."""
    host, port = near.hostname or "", _port(near)
    if context is None:
        return _Plain(host, port)
    if proxy is None:
        return _Secure(host, port, ssl_context=context)
    return _Secure(
        host,
        port,
        ssl_context=context,
        proxy=parse_url(without_credentials(proxy).geturl()),
        # By urllib3 only a tunnel goes through a proxy that is spoken to by TLS as well.
        proxy_config=ProxyConfig(
            ssl_context=context,
            use_forwarding_for_https=False,
            assert_hostname=None,
            assert_fingerprint=None,
        ),
    )


def _port(parts: SplitResult) -> int:
    return parts.port or _PORTS[parts.scheme]


def _read(response: Any) -> tuple[bytes, bool]:
    """Read a body, and tell whether that is all of it."""
    try:
        body: bytes = response.read(LARGEST_BODY + 1, decode_content=False)
    except (OSError, HTTPException, HTTPError):
        # The status has come and decides; this is a detail.
        return b"", False
    return body[:LARGEST_BODY], len(body) <= LARGEST_BODY
