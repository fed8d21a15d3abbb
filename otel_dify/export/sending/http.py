"""Sending by OTLP/HTTP, with protobuf bodies."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from otel_dify.export.sending.compression import compressor
from otel_dify.export.sending.exchange import Exchange
from otel_dify.export.sending.outcome import Outcome, Retry
from otel_dify.export.sending.tls import Tls, Unusable
from otel_dify.export.sending.user_agent import USER_AGENT
from otel_dify.guard import failed

if TYPE_CHECKING:
    from ssl import SSLContext

    from otel_dify.export.sending.answers import Answer
    from otel_dify.export.sending.connection import Connection

# They keep method and body (RFC 9110, 15.4.8 and 15.4.9); the others do not.
_FOLLOWED = frozenset({307, 308})
_MOST_REDIRECTS = 3


class HttpTransport:
    """Sends requests by HTTP/1.1, over one connection that is kept.

    A receiver may close a kept connection just when a request is on its way. Where not a byte of a
    response has come, the request is sent once more on a new connection, at once; if the receiver
    had taken it and was cut off, it has it twice. OTLP accepts that ("Duplicate Data").

    In a forked child it leaves the parent's connection alone and makes its own.

    Args:
        url: the whole address, without credentials.
        headers: sent with every request, names in lower case.
        compression: a name of ``compression.compressor``.
        tls: files for TLS.
        proxy: what leads there; credentials within it are sent to it.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        compression: str = "gzip",
        tls: Tls | None = None,
        proxy: SplitResult | None = None,
    ) -> None:
        self._url = urlsplit(url)
        self._proxy = proxy
        self._tls = tls or Tls()
        self._compress = compressor(compression)
        self._headers = {"user-agent": USER_AGENT, **headers}
        self._headers["content-type"] = "application/x-protobuf"
        if compression != "none":
            self._headers["content-encoding"] = compression
        self._connection: Connection | None = None
        self._context: SSLContext | None = None
        self._process = os.getpid()

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        """Send a request; never raises, but for a time limit that Celery addressed to its task.

        Args:
            body: a serialized ``Export{Trace,Logs,Metrics}ServiceRequest``.
            timeout_s: seconds that it may take altogether, with looking up the name, connecting,
                sending and reading.
        """
        # It loads asyncio, and so ssl: after gevent's patch.
        from opentelemetry.instrumentation.utils import suppress_instrumentation

        with suppress_instrumentation():
            try:
                return self._send(body, timeout_s)
            except Exception as error:  # noqa: BLE001 - counted and logged once; the data is kept
                failed("otel_dify.export.sending.http", error)
                return Retry(f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Close the connection; the next ``send`` makes a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _send(self, body: bytes, timeout_s: float) -> Outcome:
        # After gevent's patch: loads urllib3 and ssl.
        import ssl
        from http.client import HTTPException

        from otel_dify.export.sending.answers import outcome_of
        from otel_dify.export.sending.failures import failure

        if os.getpid() != self._process:
            # It is the parent's, which goes on with it.
            self._connection, self._process = None, os.getpid()
        until = time.monotonic() + timeout_s
        url, packed = self._url, self._compress(body)
        if url.scheme not in {"http", "https"} or not url.hostname:
            return Retry(f"{url.geturl()} is no address of HTTP; expected http://… or https://…")
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                answer = self._post(url, packed, Exchange(until))
                following = self._following(url, answer)
                if following is None:
                    break
                url = following
        except (OSError, HTTPException, Unusable) as error:
            # A receiver that does not like our certificate says so, or just hangs up.
            if isinstance(error, ssl.SSLError | ConnectionResetError):
                self._context = None
            return failure(error, self._proxy or url, timeout_s)
        return outcome_of(answer, time.time())

    def _post(self, url: SplitResult, packed: bytes, exchange: Exchange) -> Answer:
        """Send a request over the kept connection or, where there is none, over a new one."""
        kept = self._connection
        if kept is not None and kept.usable:
            try:
                return self._over(kept, url, packed, exchange)
            except TimeoutError:
                raise
            except OSError:
                if exchange.heard:
                    raise
        return self._over(self._connect(exchange), url, packed, exchange)

    def _connect(self, exchange: Exchange) -> Connection:
        from otel_dify.export.sending.connection import Connection

        self.close()
        schemes = {self._url.scheme, self._proxy.scheme if self._proxy else ""}
        if "https" in schemes and self._context is None:
            self._context = self._tls.context()
        return Connection(self._url, self._proxy, self._context, exchange)

    def _over(
        self, connection: Connection, url: SplitResult, packed: bytes, exchange: Exchange
    ) -> Answer:
        """Send a request over a connection, which is kept if all is well."""
        self._connection = None
        forwarded = self._proxy is not None and url.scheme == "http"
        target = url if forwarded else url._replace(scheme="", netloc="")
        try:
            answer = connection.post(target.geturl() or "/", packed, self._headers, exchange)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return answer

    def _following(self, url: SplitResult, answer: Answer) -> SplitResult | None:
        """Return where a redirection leads, if it is to the same receiver.

        To another one, credentials and content would go where the operator has not sent them.
        """
        if answer.status not in _FOLLOWED or not answer.location:
            return None
        try:
            following = urlsplit(urljoin(url.geturl(), answer.location))
        except ValueError:  # it is no address, and told as it is
            return None
        same = (following.scheme, following.netloc) == (url.scheme, url.netloc)
        return following._replace(fragment="") if same else None
