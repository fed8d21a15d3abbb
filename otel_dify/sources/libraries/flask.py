"""Requests to Dify, through OpenTelemetry's Flask instrumentation.

The instrumentation ends its span when Flask tears the request down, which for a stream is before
its first byte. Here the operation ends with the last byte of the body, and whatever the body's
generator does (Dify sends the Celery task of a streamed run from it) lies within the request.

``X-Request-ID`` is taken from the caller or made, and returned with ``X-Response-Time``. A caller
that sends ``X-Debug-Id`` asks for the trace to be kept.
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import partial
from types import ModuleType
from typing import Any
from weakref import ref

from flask import Request, has_request_context, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.trace import SpanKind
from wrapt import wrap_function_wrapper

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.errors import category_of
from otel_dify.operations.operation import Operation
from otel_dify.sources.libraries.bridge import BridgedSpan, instrument
from otel_dify.sources.libraries.passing import take_over
from otel_dify.sources.libraries.responses import Body, ending_when_closed

_call: ContextVar[_Call | None] = ContextVar("otel_dify.flask_call", default=None)


def attach(flask: ModuleType) -> None:
    """Attach to the Flask apps made from now on."""
    wrap_function_wrapper(flask, "Flask.__call__", _on_call)
    flask.got_request_exception.connect(_on_exception, weak=False)
    # INTERNAL where something is current already: another middleware's span, or a context that
    # somebody left behind on this thread.
    kinds = {SpanKind.SERVER: t.REQUEST, SpanKind.INTERNAL: t.REQUEST}
    # Another distro may have imported the instrumentation, which reads the variable then, before
    # start-up had set it.
    excluded = os.environ.get("OTEL_PYTHON_FLASK_EXCLUDED_URLS")
    instrument(FlaskInstrumentor(), kinds, refine=_refine, started=_started, excluded_urls=excluded)


_REFUSAL, _FAILURE = 400, 500
"""Status of a response from which on Dify has refused something, or failed."""

_INNER = "/inner/api/"
"""What plugins call, by the plugin daemon; its key opens nothing else."""

# What is taken over from a caller goes into headers and logs.
_REQUEST_ID = re.compile(r"[\w.:-]{1,128}")


class _Call:
    """One call of the app.

    Attributes:
        operation: the request's operation.
        exception: what Dify answers with a refusal or a failure.
        error_id: name of the failure, if it becomes one.
        torn_down: whether the instrumentation has ended its span.
        explains: whether the response is Dify's JSON for what went wrong.
        streams: whether the response is a stream of events.
        comes_back: whether a plugin calls, for a run of Dify's.
        debug_id: by which a caller wants to find the trace, which is kept; empty where none does.
    """

    def __init__(self, environ: Mapping[str, Any]) -> None:
        given_id = environ.get("HTTP_X_REQUEST_ID", "")
        debug_id = environ.get("HTTP_X_DEBUG_ID", "")
        size = environ.get("CONTENT_LENGTH") or ""
        self.operation: Operation | None = None
        self.exception: BaseException | None = None
        self.error_id = uuid.uuid4().hex
        self.torn_down = False
        self.explains = False
        self.streams = False
        self.comes_back = environ.get("PATH_INFO", "").startswith(_INNER)
        self.request_id = given_id if _REQUEST_ID.fullmatch(given_id) else uuid.uuid4().hex
        self.debug_id = debug_id if _REQUEST_ID.fullmatch(debug_id) else ""
        self.size = int(size) if size.isascii() and size.isdigit() else None

    def later(self, _: int | None) -> None:
        """Leave the operation open when the instrumentation ends its span: the body ends it."""
        self.torn_down = True


def _refine(operation: Operation, _name: str) -> None:
    """Take the ``Host`` header apart, which the instrumentation has for a host."""
    host = str(operation.get(t.SERVER_ADDRESS) or "")
    name, _, port = host.rpartition(":")
    if name and port.isascii() and port.isdigit() and (":" not in name or name.endswith("]")):
        operation.set(t.SERVER_ADDRESS, name.strip("[]"))
        operation.set(t.SERVER_PORT, int(port))


def _started(span: BridgedSpan) -> None:
    """Keep the operation of a request open beyond its span, until the body is sent."""
    call = _call.get()
    if call is not None and call.operation is None:
        call.operation = span.operation
        call.operation.set(t.REQUEST_ID, call.request_id)
        call.operation.set(t.HTTP_REQUEST_SIZE, call.size)
        if has_request_context():
            call.operation.knows(partial(_given, ref(request._get_current_object())))  # type: ignore[attr-defined] # noqa: SLF001 - how Flask gives the request itself
        if call.comes_back:
            take_over(call.operation)
        if call.debug_id:
            call.operation.set(t.DEBUG_ID, call.debug_id)
            call.operation.keep()
        span.at_end = call.later


def _given(asked: ref[Request]) -> list[Any] | None:
    """Return what a request brought, when Dify has read it: nothing is read for our sake.

    The request, which leads to its operation, is not kept alive.
    """
    there = asked()
    if there is None:
        return []
    read = vars(there)
    bodies = [body for body in read.get("_cached_json", ()) if body is not ...]
    if there.content_length and not bodies and "form" not in read:
        return None
    files = read.get("files") or {}
    return [
        *bodies,
        dict(read.get("form") or {}),
        dict(read.get("args") or {}),
        [file.filename for file in files.values()],
    ]


@never_raises("otel_dify.sources.libraries.flask exception")
def _on_exception(_sender: Any, exception: BaseException, **_: Any) -> None:
    """Take the exception that a request ends with: no handler lets it pass to the server.

    Only the status of the response tells whether Dify has failed or has refused something: it
    answers a ``ValueError`` with 400. What it logs of a failure comes after this.
    """
    call = _call.get()
    if call is None or call.operation is None:
        return
    call.exception = exception
    status = _status_of(exception)
    if not isinstance(exception, ValueError) and (status is None or status >= _FAILURE):
        call.operation.set(t.ERROR_ID, call.error_id)


def _status_of(exception: BaseException) -> int | None:
    """Return the status of an HTTP exception; others may have a ``code`` that is text."""
    code = getattr(exception, "code", None)
    return code if isinstance(code, int) else None


def _cause_of(exception: BaseException) -> BaseException:
    """Return what Dify's controllers raise ``InternalServerError`` in place of."""
    if _status_of(exception) is None:
        return exception
    return exception.__cause__ or exception.__context__ or exception


def _category_of(exception: BaseException) -> str:
    """Tell what kind of refusal one is; a general one (400 for what a model said) by its cause."""
    own = category_of(type(exception).__name__)
    return own if own != "internal" else category_of(type(_cause_of(exception)).__name__)


def _on_call(
    wrapped: Callable[..., Iterable[bytes]], _app: Any, args: Any, kwargs: Any
) -> Iterable[bytes]:
    environ, start_response = args
    call = _Call(environ)
    token = _call.set(call)
    try:
        body = wrapped(environ, _naming(start_response, call), **kwargs)
    except BaseException as error:
        if call.operation is not None:
            with guarded("otel_dify.sources.libraries.flask failed"):
                call.operation.fail(error)
                call.operation.end()
        raise
    finally:
        _call.reset(token)
    if call.operation is None:
        return body
    if call.torn_down:
        # A streamed body tears the request down a second time, and the instrumentation would
        # detach its context a second time ("Failed to detach context").
        for key in [key for key in environ if key.startswith("opentelemetry-flask.")]:
            del environ[key]
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        # The server sends such a file by itself, if the body is still what it made (PEP 3333).
        return ending_when_closed(body, call.operation)
    return Body(body, call.operation, explains=call.explains, streams=call.streams)


def _naming(start_response: Callable[..., Any], call: _Call) -> Callable[..., Any]:
    """Add the request's id and the seconds it took to the headers of its response."""

    def respond(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
        with guarded("otel_dify.sources.libraries.flask headers"):
            operation = call.operation
            if operation is not None:
                seconds = (time.time_ns() - operation.start_ns) / 1e9
                own = {"X-Request-ID": call.request_id, "X-Response-Time": f"{seconds:.3f}s"}
                if int(status[:3]) >= _FAILURE:
                    own["X-Error-ID"] = call.error_id
                    operation.set(t.ERROR_ID, call.error_id)
                    if call.exception is not None:
                        operation.fail(_cause_of(call.exception))
                else:
                    operation.forget(t.ERROR_ID)
                    if call.exception is not None:
                        operation.set(t.ERROR_CATEGORY, _category_of(call.exception))
                there = {name.lower(): value for name, value in headers}
                length = there.get("content-length", "")
                if length.isascii() and length.isdigit():
                    operation.set(t.HTTP_BODY_SIZE, int(length))
                sort = there.get("content-type", "")
                call.explains = int(status[:3]) >= _REFUSAL and sort.startswith("application/json")
                call.streams = sort.startswith("text/event-stream")
                headers = [
                    *headers,
                    *((name, value) for name, value in own.items() if name.lower() not in there),
                ]
        return start_response(status, headers, *rest)

    return respond
