"""Requests to Dify, through OpenTelemetry's Flask instrumentation.

The instrumentation ends its span when Flask tears the request down, which for a stream is before
its first byte. Here the operation ends with the last byte of the body, and whatever the body's
generator does (Dify sends the Celery task of a streamed run from it) lies within the request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.trace import SpanKind
from wrapt import wrap_function_wrapper

from otel_dify.guard import guarded
from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import REQUEST
from otel_dify.operations.operation import Operation
from otel_dify.sources.bridge import BridgedSpan, instrument

_call: ContextVar[_Call | None] = ContextVar("otel_dify.flask_call", default=None)


def attach(flask: ModuleType) -> None:
    """Attach to the Flask apps made from now on."""
    wrap_function_wrapper(flask, "Flask.__call__", _on_call)
    instrument(FlaskInstrumentor(), {SpanKind.SERVER: REQUEST}, started=_started)


class _Call:
    """One call of the app: the request's operation, and when the instrumentation ended its span."""

    def __init__(self) -> None:
        self.operation: Operation | None = None
        self.torn_down = False

    def later(self, _: int | None) -> None:
        """Leave the operation open when the instrumentation ends its span: the body ends it."""
        self.torn_down = True


def _started(span: BridgedSpan) -> None:
    """Keep the operation of a request open beyond its span, until the body is sent."""
    call = _call.get()
    if call is not None and call.operation is None:
        call.operation = span.operation
        span.at_end = call.later


def _on_call(
    wrapped: Callable[..., Iterable[bytes]], _app: Any, args: Any, kwargs: Any
) -> Iterable[bytes]:
    call = _Call()
    token = _call.set(call)
    try:
        body = wrapped(*args, **kwargs)
    except BaseException as error:
        if call.operation is not None:
            with guarded("otel_dify.sources.flask failed"):
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
        environ = args[0]
        for key in [key for key in environ if key.startswith("opentelemetry-flask.")]:
            del environ[key]
    return Body(body, call.operation)


class Body:
    """The body of a response, which ends its request's operation when it has been sent.

    Args:
        body: what the app returned.
        operation: the request's operation.
    """

    def __init__(self, body: Iterable[bytes], operation: Operation) -> None:
        self._body = body
        self._operation = operation
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._body)
        operation = self._operation
        while True:
            with operation.active():
                try:
                    chunk = next(chunks)
                except StopIteration:
                    self._end()
                    return
                except BaseException as error:
                    operation.fail(error)
                    raise
            if not self._size:
                operation.set(a.HTTP_FIRST_BYTE, (time.time_ns() - operation.start_ns) / 1e9)
            self._size += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the body and end the operation, as the server does when all is sent or lost."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                with self._operation.active():
                    close()
        finally:
            self._end()

    def _end(self) -> None:
        with guarded("otel_dify.sources.flask end"):
            self._operation.set(a.HTTP_BODY_SIZE, self._size)
            self._operation.end()
