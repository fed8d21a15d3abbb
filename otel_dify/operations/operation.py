"""The life of one operation: start, what is learned on the way, end.

Sources start and end operations; the recorders of the process (``otel_dify.signals``) turn them
into signals. An operation is open on one thread and may be ended on another.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakSet, ref

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span

from otel_dify.operations import attributes as a
from otel_dify.operations.attributes import Attribute
from otel_dify.operations.errors import STOPS, category_of, fingerprint_of
from otel_dify.operations.kind import Kind
from otel_dify.operations.values import Value, as_value

_KEY = context_api.create_key("otel_dify.operation")
_FIELD = re.compile(r"\{([^}]+)\}")
_adding = threading.Lock()


class Recorder(Protocol):
    """Turns operations into one signal."""

    def start(self, operation: Operation) -> None:
        """See an operation that has just been started; may set its span and context."""

    def end(self, operation: Operation) -> None:
        """See an operation that has just ended."""


class Operation:
    """One operation of one kind.

    Attributes:
        kind: its row of the table.
        attributes: values by attribute name, inherited ones included, content not.
        content: what users or models wrote, as Python objects; serialised only if it is kept.
        start_ns: start, nanoseconds since the epoch.
        end_ns: end, likewise; 0 while it is open.
        parent: the operation it was started under, in this process.
        context: OpenTelemetry context with this operation (and its span) as the current one.
        span: its span; invalid while it has none.
        error: the exception that made it fail, if there was one.
        failure_below: type and message of the last failure right below it, which may be the cause
            of its own.
        events: happenings on the way: name, nanoseconds since the epoch, attributes.
        links: spans that led to it without being its parent.
    """

    __slots__ = (
        "__weakref__",
        "_inherited",
        "_recorders",
        "attributes",
        "content",
        "context",
        "end_ns",
        "error",
        "events",
        "failure_below",
        "kind",
        "links",
        "parent",
        "parent_context",
        "span",
        "span_name",
        "start_ns",
    )

    def __init__(
        self,
        kind: Kind,
        recorders: Sequence[Recorder],
        *,
        context: Context,
        start_ns: int,
        links: Sequence[Link] = (),
    ) -> None:
        self.kind = kind
        self.attributes: dict[str, Value] = {}
        self.content: dict[Attribute, object] = {}
        self.events: list[tuple[str, int, Mapping[str, Value]]] = []
        self.links = links
        self.error: BaseException | None = None
        self.failure_below = ("", "")
        self.start_ns = start_ns
        self.end_ns = 0
        self.parent = current(context)
        self.parent_context = context
        self.context = context_api.set_value(_KEY, self, context)
        self.span: Span = INVALID_SPAN
        self.span_name = ""
        self._recorders = recorders
        self._inherited: dict[str, Value] = {}
        if self.parent is not None:
            self._inherited.update(self.parent.inherited())
            self.attributes.update(self._inherited)

    def set(self, attribute: Attribute, value: object) -> None:
        """Set an attribute; ``None`` and empty strings are left out.

        An inherited one also goes to operations started below from now on, and to those above
        whose kind hoists.
        """
        if value is None or value == "":
            return
        if attribute.content:
            self.content[attribute] = value
            return
        plain = as_value(value)
        self.attributes[attribute.key] = plain
        if attribute.inherit:
            self._inherited[attribute.key] = plain
            above = self.parent if attribute.hoist else None
            while above is not None:
                if above.kind.hoists:
                    above.attributes.setdefault(attribute.key, plain)
                above = above.parent

    def inherited(self) -> dict[str, Value]:
        """Copy what an operation or log record below it gets: the ids of run, app and message."""
        return {**self._inherited, **self._hoisted()}

    def _hoisted(self) -> dict[str, Value]:
        if not self.kind.hoists:
            return {}
        return {key: value for key, value in self.attributes.items() if key in a.INHERITED}

    def get(self, attribute: Attribute) -> Value | None:
        """Return what an attribute is set to."""
        return self.attributes.get(attribute.key)

    def fill(self, pattern: str, missing: str = "") -> str:
        """Put values of attributes for their ``{names}`` in a pattern of the table.

        Args:
            pattern: text with names of attributes in braces.
            missing: what stands for one that has no value.
        """
        known = self.attributes
        return _FIELD.sub(lambda field: str(known.get(field[1], missing)), pattern)

    def enclosing(self, kind: Kind) -> Operation | None:
        """Return the nearest operation of a kind: this one, or one that it lies in."""
        found: Operation | None = self
        while found is not None and found.kind is not kind:
            found = found.parent
        return found

    def happened(self, name: str, values: Mapping[Attribute, object]) -> None:
        """Note a happening on the way, such as a retry; it becomes a span event."""
        attributes = {attribute.key: as_value(value) for attribute, value in values.items()}
        self.events.append((name, time.time_ns(), attributes))

    def add(self, attribute: Attribute, amount: float) -> None:
        """Add to an attribute that counts; operations below may do so from several threads."""
        with _adding:
            total = self.attributes.get(attribute.key, 0)
            if isinstance(total, int | float):
                self.attributes[attribute.key] = total + amount

    def fail(self, error: BaseException | str, error_type: str = "") -> None:
        """Mark the operation as failed. The first failure is the cause and stays.

        A type that says nothing gives way to that of the failure below which the text repeats. What
        ends by one of ``STOPS`` has been stopped instead.
        """
        if a.ERROR_TYPE.key in self.attributes:
            return
        kind = error_type or (type(error).__name__ if isinstance(error, BaseException) else "error")
        if kind in STOPS:
            if self.kind.status is not None:
                self.set(self.kind.status, "stopped")
            return
        raised = error if isinstance(error, BaseException) else None
        below, message = self.failure_below
        if message and message in str(error) and category_of(kind) == "internal":
            kind = below
        self.set(a.ERROR_TYPE, kind)
        self.set(a.ERROR_MESSAGE, str(error))
        self.set(a.ERROR_CATEGORY, category_of(kind))
        self.set(a.ERROR_FINGERPRINT, fingerprint_of(raised, kind, str(error)))
        self.error = raised
        if self.parent is not None:
            self.parent.failure_below = (kind, str(error))

    @property
    def failed(self) -> bool:
        """Whether it was marked as failed."""
        return a.ERROR_TYPE.key in self.attributes

    @property
    def paused(self) -> bool:
        """Whether it ended to go on as another operation: a run that waits for a person."""
        status = self.kind.status
        return status is not None and self.get(status) == "paused"

    @property
    def duration(self) -> float:
        """Seconds from start to end, 0 while open; a clock set back counts as 0."""
        return max(self.end_ns - self.start_ns, 0) / 1e9

    def end(self, at_ns: int | None = None) -> None:
        """End the operation and hand it to the recorders; later calls do nothing."""
        if self.end_ns:
            return
        self.end_ns = time.time_ns() if at_ns is None else at_ns
        if self.kind.status is not None and self.get(self.kind.status) is None:
            self.set(self.kind.status, "failed" if self.failed else "succeeded")
        for recorder in self._recorders:
            recorder.end(self)
        _open.discard(self)
        # An exception holds its frames, and with them whatever Dify had in its hands.
        self.error = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make it the current operation of this thread or greenlet, for a block without yields."""
        token = context_api.attach(self.context)
        try:
            yield
        finally:
            context_api.detach(token)


def current(context: Context | None = None) -> Operation | None:
    """Return the operation that a context (this thread's, where none is given) lies in.

    A span that stands for an operation (``sources/bridge.py``) and is current is the innermost:
    the instrumentation that made it knows nothing of operations and sets only the span.
    """
    span = trace.get_current_span(context)
    found = getattr(span, "operation", None)
    if not isinstance(found, Operation):
        found = context_api.get_value(_KEY, context)
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
    return context if operation is None else context_api.set_value(_KEY, operation, context)


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
    operation = Operation(
        kind,
        _recorders(),
        context=context_api.get_current() if parent is None else parent,
        start_ns=time.time_ns() if at_ns is None else at_ns,
        links=links,
    )
    operation.span_name = span_name
    for attribute, value in (attributes or {}).items():
        operation.set(attribute, value)
    for recorder in operation._recorders:  # noqa: SLF001 - its own module
        recorder.start(operation)
    # Queries are most of all operations and none outlasts what made it.
    if not kind.folds:
        _open.add(operation)
    return operation


def wait_until_ended(seconds: float) -> None:
    """Wait, at most for so long, until every operation of this process has ended."""
    deadline = time.monotonic() + seconds
    while _open and time.monotonic() < deadline:
        time.sleep(_GLANCE_S)
