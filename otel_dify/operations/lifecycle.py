"""Starting operations, finding the one that something lies in, and waiting for their ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from weakref import WeakSet, ref

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span

from otel_dify.operations.attributes import Attribute
from otel_dify.operations.kind import Kind
from otel_dify.operations.operation import KEY, Operation, Recorder


def current(context: Context | None = None) -> Operation | None:
    """Return the operation that a context (this thread's, where none is given) lies in.

    A span that stands for an operation (``sources/bridge.py``) and is current is the innermost:
    the instrumentation that made it knows nothing of operations and sets only the span.
    """
    span = trace.get_current_span(context)
    found = getattr(span, "operation", None)
    if not isinstance(found, Operation):
        found = context_api.get_value(KEY, context)
    return found if isinstance(found, Operation) else _around(span)


_bridged: ContextVar[ref[Operation] | None] = ContextVar("otel_dify.bridged", default=None)


def surrounds(operation: Operation) -> None:
    """Have an operation found from within spans of other providers, in this thread or greenlet.

    For one that is current only by its span, which such a span takes the place of.
    """
    _bridged.set(ref(operation))


def here() -> Context:
    """Return the current context, to be taken to another thread: its operation is found there."""
    context = context_api.get_current()
    operation = current(context)
    return context if operation is None else context_api.set_value(KEY, operation, context)


def _around(span: Span) -> Operation | None:
    """Find the operation that a span of another provider lies in: still open, of the same trace."""
    known = _bridged.get()
    operation = known() if known is not None else None
    if operation is None or operation.end_ns:
        return None
    ours, theirs = operation.span.get_span_context(), span.get_span_context()
    return operation if theirs.is_valid and ours.trace_id == theirs.trace_id else None


_GLANCE_S = 0.01
_open: WeakSet[Operation] = WeakSet()
# A child has none of its parent's threads, which end what they have begun.
os.register_at_fork(after_in_child=_open.clear)


def _no_recorders() -> Sequence[Recorder]:
    return ()


_recorders: Callable[[], Sequence[Recorder]] = _no_recorders


def record_with(recorders: Callable[[], Sequence[Recorder]]) -> None:
    """Set what tells the recorders of this process, asked at each start."""
    global _recorders  # noqa: PLW0603 - the one place where operations meet their recorders
    _recorders = recorders


def start(
    kind: Kind,
    attributes: Mapping[Attribute, object] | None = None,
    *,
    parent: Context | None = None,
    at_ns: int | None = None,
    links: Sequence[Link] = (),
    span_name: str = "",
) -> Operation:
    """Start an operation.

    Args:
        kind: its row of the table.
        attributes: what is known of it already.
        parent: the context it lies in; this thread's where none is given.
        at_ns: its start, nanoseconds since the epoch; now where none is given.
        links: spans that led to it without being its parent.
        span_name: name of its span where the table's pattern cannot be filled.
    """
    recorders = _recorders()
    context = context_api.get_current() if parent is None else parent
    operation = Operation(
        kind,
        recorders,
        parent=current(context),
        context=context,
        start_ns=time.time_ns() if at_ns is None else at_ns,
        links=links,
    )
    operation.span_name = span_name
    for attribute, value in (attributes or {}).items():
        operation.set(attribute, value)
    for recorder in recorders:
        recorder.start(operation)
    # Queries are most of all operations and none outlasts what made it.
    if not kind.folds:
        _open.add(operation)
    return operation


def wait_until_ended(seconds: float) -> None:
    """Wait, at most for so long, until every operation of this process has ended."""
    deadline = time.monotonic() + seconds
    while any(not operation.end_ns for operation in list(_open)) and time.monotonic() < deadline:
        time.sleep(_GLANCE_S)
