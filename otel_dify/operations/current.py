"""Starting operations, finding the one that something lies in, and waiting for their ends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextvars import ContextVar
from weakref import ref

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import Link, Span

from otel_dify import table as t
from otel_dify.cleaning.known_content import KnownContent
from otel_dify.guard import guarded
from otel_dify.operations.operation import Operation
from otel_dify.operations.span import KEY, OperationSpan
from otel_dify.process import process


def current(context: Context | None = None) -> Operation | None:
    """Return the operation that a context (this thread's, where none is given) lies in.

    The span that stands for an operation and is current is the innermost: an instrumentation that
    made it knows nothing of operations and sets only the span. Within a span of somebody else's
    the context knows. What is found is kept on the context, which nobody changes: a run asks many
    hundred times, and for the same few contexts.
    """
    if context is None:
        context = context_api.get_current()
    kept: Operation | None = context.__dict__.get(_KEPT)
    if kept is not None:
        return kept
    span = trace.get_current_span(context)
    found = span.operation if isinstance(span, OperationSpan) else context.get(KEY)
    if isinstance(found, Operation):
        setattr(context, _KEPT, found)
        return found
    return _around(span)


def around(context: Context) -> Operation | None:
    """Return the operation that what is timed in a context folds into.

    None where there is none, and under ``suppress_instrumentation``. The answer is kept on the
    context as well, which makes it two lookups for all queries but the first.
    """
    kept: Operation | None = context.__dict__.get(_FOLDS)
    if kept is None and is_instrumentation_enabled():
        kept = current(context)
        if kept is not None:
            setattr(context, _FOLDS, kept)
    return kept


def known_around(operation: Operation | None) -> Collection[KnownContent]:
    """Return the content that what is written in an operation may quote.

    What is written in none may quote that of any: of all that are open.
    """
    if operation is None:
        return process.kept(Open).trees()
    return () if operation.known is None else (operation.known,)


APART = context_api.create_key("otel_dify.apart")
"""Set in a context whose operations begin traces of their own, linked to the one they come from:
they may begin when that has ended."""
_KEPT, _FOLDS = "otel_dify_operation", "otel_dify_folds"
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
    theirs = span.get_span_context()
    same = theirs.is_valid and operation.span_context.trace_id == theirs.trace_id
    return operation if same else None


class Open:
    """The operations of this process that have not ended.

    A forked child has none of its parent's threads, which end what they have begun.
    """

    def __init__(self) -> None:
        # By identity; plain mappings and deques, whose single steps no thread sees half done.
        self._references: dict[int, ref[Operation]] = {}
        self._dropped: deque[tuple[Operation, int]] = deque()

    def add(self, operation: Operation) -> None:
        """Take note of one that has been started."""
        identity = id(operation)
        references = self._references
        references[identity] = ref(operation, lambda _: references.pop(identity, None))

    def any(self) -> bool:
        """Tell whether there is one; one that nobody holds any more will never end."""
        found = (reference() for reference in list(self._references.values()))
        return any(operation is not None and not operation.end_ns for operation in found)

    def trees(self) -> Collection[KnownContent]:
        """Return what is known of content in each tree that is open."""
        found = (reference() for reference in list(self._references.values()))
        known = (operation.known for operation in found if operation is not None)
        return {id(one): one for one in known if one is not None}.values()

    def dropped(self, operation: Operation) -> None:
        """Leave a note that nobody will end an operation: the garbage collector has found out.

        It may do so anywhere, in the middle of an export or with a lock held, so nothing is done
        about it here.
        """
        self._dropped.append((operation, time.time_ns()))

    def end_dropped(self) -> None:
        """End those that a note was left of, at the time that it was left."""
        while self._dropped:
            try:
                operation, at_ns = self._dropped.popleft()
            except IndexError:  # another thread was faster
                return
            with guarded("otel_dify.operations dropped"):
                operation.end(at_ns)

    def forked(self) -> None:
        """Forget the parent's."""
        self._references.clear()
        self._dropped.clear()


def start(
    kind: t.Kind,
    attributes: Mapping[t.Attribute, object] | None = None,
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
    pipeline = process.recording()
    context = context_api.get_current() if parent is None else parent
    recorder = None if pipeline is None else pipeline.recorder
    above = None if recorder is None else current(context)
    if above is not None and APART in context and not kind.folds:
        links = (*links, Link(above.span_context))
        context = Context()
    operation = Operation(
        kind,
        recorder,
        parent=above,
        context=context,
        start_ns=time.time_ns() if at_ns is None else at_ns,
        links=links,
        span_name=span_name,
    )
    if attributes:
        for attribute, value in attributes.items():
            operation.set(attribute, value)
    if recorder is not None:
        known = process.kept(Open)
        known.end_dropped()
        # What may fold has nothing below it and does not outlast what made it.
        if not kind.folds:
            known.add(operation)
        recorder.started(operation)
    return operation


_GLANCE_S = 0.01


def wait_until_ended(seconds: float) -> None:
    """Wait, at most for so long, until every operation of this process has ended."""
    known = process.kept(Open)
    deadline = time.monotonic() + seconds
    known.end_dropped()
    while known.any() and time.monotonic() < deadline:
        time.sleep(_GLANCE_S)
        known.end_dropped()
