"""One operation: what is learned of it on the way, and its end.

The recorders of the process (``otel_dify.signals``) turn it into signals. It is open on one thread
and may be ended on another.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span

from otel_dify.operations import attributes as a
from otel_dify.operations.attributes import Attribute
from otel_dify.operations.errors import STOPS, category_of, fingerprint_of
from otel_dify.operations.kind import Kind
from otel_dify.operations.values import Value, as_value

KEY = context_api.create_key("otel_dify.operation")
"""Where a context has the operation that it lies in."""
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
        parent: Operation | None,
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
        self.parent = parent
        self.parent_context = context
        self.context = context_api.set_value(KEY, self, context)
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
