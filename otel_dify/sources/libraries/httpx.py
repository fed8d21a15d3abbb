"""HTTP calls: where HTTPX hands a request to its transport.

OpenTelemetry's instrumentation is not attached: it builds a URL three times and a set of headers
twice a call, records what the table does not have, and ends its span with the headers of the
response. Here a call ends with the last byte of the response, as its caller sees it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from types import ModuleType
from typing import Any

import httpx
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.util.http import get_excluded_urls
from wrapt import wrap_function_wrapper

from otel_dify import table as t
from otel_dify.guard import failed, guarded, never_raises
from otel_dify.operations.current import Open, start
from otel_dify.operations.operation import Operation
from otel_dify.process import process
from otel_dify.sources.libraries.bridge import take
from otel_dify.sources.libraries.passing import send_on
from otel_dify.sources.libraries.peers import Found, Peers, port_of, settings_of_dify

_METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
"""Methods that there are (OpenTelemetry's HTTP conventions); others are ``_OTHER``."""
_PROXY = "_otel_dify_proxy"
"""Where a transport keeps the address of its proxy."""
_SWITCHING, _REFUSAL = 101, 400
"""Status of a response that has no body of its own, and from which on a call has failed."""


def attach(_: ModuleType) -> None:
    """Attach to the transports of HTTPX; the trace is sent on with each request."""
    take(HTTPXClientInstrumentor())
    excluded = get_excluded_urls("HTTPX")
    calls = _Calls(excluded.url_disabled if excluded._excluded_urls else None)  # noqa: SLF001 - whether there are any
    for transport, method, around in (
        (httpx.HTTPTransport, "handle_request", _around),
        (httpx.AsyncHTTPTransport, "handle_async_request", _around_async),
    ):
        wrap_function_wrapper(transport, "__init__", _on_init)
        setattr(transport, method, around(getattr(transport, method), calls))


def _on_init(wrapped: Callable[..., None], transport: Any, args: Any, kwargs: Any) -> None:
    """Remember the proxy that a transport was made with."""
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.libraries.httpx proxy"):
        proxy = kwargs.get("proxy")
        if proxy is not None:
            setattr(transport, _PROXY, getattr(proxy, "url", proxy))


class _Calls:
    """Begins calls, and knows their peers.

    Args:
        excluded: tells whether calls of a URL are left out (``OTEL_PYTHON_HTTPX_EXCLUDED_URLS``).
    """

    def __init__(self, excluded: Callable[[str], bool] | None) -> None:
        self._excluded = excluded
        self._peers: Peers | None = None

    def begin(self, transport: Any, request: Any) -> Operation | None:
        """Start the operation of a call and have the request carry its trace on.

        None where there is to be none.
        """
        try:
            if not is_http_instrumentation_enabled():
                return None
            url = request.url
            if self._excluded is not None and self._excluded(str(url)):
                return None
            return self._begin(transport, request, url)
        except Exception as error:  # noqa: BLE001 - the call must go on without its operation
            failed("otel_dify.sources.libraries.httpx start", error)
            return None

    def _begin(self, transport: Any, request: Any, url: Any) -> Operation:
        path = url.raw_path.partition(b"?")[0].decode("ascii")
        host, port = url.host, url.port or port_of(url.scheme)
        method = request.method if request.method in _METHODS else "_OTHER"
        known: dict[t.Attribute, object] = {
            t.HTTP_METHOD: method,
            t.SERVER_ADDRESS: host,
            t.SERVER_PORT: port,
            # Without the query, which holds keys and what users typed, and without who calls.
            t.URL_FULL: f"{url.scheme}://{url.netloc.decode('ascii')}{path}",
        }
        name = "" if method != "_OTHER" else "HTTP"
        found = self._find(transport, host, port)
        if found is not None:
            template = found.template_of(path)
            known[t.PEER] = known[t.PEER_BEFORE] = found.peer.name
            known[t.URL_TEMPLATE] = template
            name = name or ("" if template else f"{method} {found.peer.name}")
        operation = start(t.HTTP_CALL, known, span_name=name)
        send_on(operation, request.headers, inside=found is not None and found.peer.inside)
        return operation

    def _find(self, transport: Any, host: str, port: int) -> Found | None:
        peers = self._peers
        if peers is None:
            # Not when the library is imported: Dify's configuration is there by the first call.
            peers = self._peers = Peers(settings_of_dify(os.environ))
        proxy = getattr(transport, _PROXY, None)
        return peers.at(host, port) if proxy is None else peers.proxy(proxy)


def _around(handle: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    @wraps(handle)
    def handle_request(transport: Any, request: Any) -> Any:
        operation = calls.begin(transport, request)
        if operation is None:
            return handle(transport, request)
        try:
            response = handle(transport, request)
        except BaseException as error:
            _broken(operation, error)
            raise
        _answered(operation, response, _Body)
        return response

    return handle_request


def _around_async(handle: Callable[..., Any], calls: _Calls) -> Callable[..., Any]:
    @wraps(handle)
    async def handle_async_request(transport: Any, request: Any) -> Any:
        operation = calls.begin(transport, request)
        if operation is None:
            return await handle(transport, request)
        try:
            response = await handle(transport, request)
        except BaseException as error:
            _broken(operation, error)
            raise
        _answered(operation, response, _AsyncBody)
        return response

    return handle_async_request


@never_raises("otel_dify.sources.libraries.httpx failure")
def _broken(operation: Operation, error: BaseException) -> None:
    operation.fail(error)
    operation.end()


@never_raises("otel_dify.sources.libraries.httpx answer")
def _answered(operation: Operation, response: Any, body: type[_Body | _AsyncBody]) -> None:
    """Take the status of a response; its body ends the operation."""
    status = response.status_code
    operation.set(t.HTTP_STATUS, status)
    if status >= _REFUSAL:
        operation.fail(f"HTTP status {status}", str(status))
    if status == _SWITCHING:
        operation.end()
    else:
        response.stream = body(response.stream, operation)


class _Ending:
    """The body of a response, which ends its call's operation.

    With its last byte or with an exception at once; closed or dropped before, soon, at that time:
    the garbage collector may close what waits in a generator, in the middle of anything.
    """

    def __init__(self, stream: Any, operation: Operation) -> None:
        self._stream = stream
        self._operation = operation
        self._ended = False

    def __del__(self) -> None:
        self._leave()

    def _leave(self) -> None:
        if not self._ended:
            self._ended = True
            process.kept(Open).dropped(self._operation)

    @never_raises("otel_dify.sources.libraries.httpx body")
    def _end(self, error: BaseException | None = None) -> None:
        if not self._ended:
            self._ended = True
            if error is not None:
                self._operation.fail(error)
            self._operation.end()


class _Body(_Ending, httpx.SyncByteStream):
    """The body of a response."""

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except GeneratorExit:
            raise
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    def close(self) -> None:
        """Close the body."""
        try:
            self._stream.close()
        finally:
            self._leave()


class _AsyncBody(_Ending, httpx.AsyncByteStream):
    """The same of an asynchronous response."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except GeneratorExit:
            raise
        except BaseException as error:
            self._end(error)
            raise
        self._end()

    async def aclose(self) -> None:
        """Close the body."""
        try:
            await self._stream.aclose()
        finally:
            self._leave()
