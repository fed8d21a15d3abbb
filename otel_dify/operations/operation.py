"""One operation: what is learned of it on the way, and its end.

The recorder of the process (``otel_dify.records``) makes a record of it when it ends. It is open on
one thread and may be ended on another. Whatever is set is clean from then on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN_CONTEXT, Link, SpanContext

from otel_dify import table as t
from otel_dify.cleaning.known_content import KnownContent
from otel_dify.cleaning.text import clean_attribute, clean_known
from otel_dify.cleaning.values import Value
from otel_dify.operations.allowance import Allowance
from otel_dify.operations.decision import Decision
from otel_dify.operations.errors import STOPS, TELLING, category_of, fingerprint_of
from otel_dify.operations.folded import Folded
from otel_dify.operations.span import OperationSpan, within
from otel_dify.process import process

_COMPARED = 16_384
"""Characters of a message that are compared, with others and with content."""

type Happening = tuple[str, int, dict[str, Value]]


class Recorder(Protocol):
    """What operations of a process come to."""

    def started(self, operation: Operation) -> None:
        """See an operation that has just been started; gives it its span context."""

    def ended(self, operation: Operation) -> None:
        """See an operation that has just ended."""

    def keep(self, operation: Operation) -> None:
        """Have the trace of an operation kept, whatever its rate."""


class Operation:
    """One operation of one kind.

    Attributes:
        kind: its row of the table.
        attributes: clean values by attribute name, inherited ones included, content not.
        inherited: those of them that operations and log records below it get.
        content: what users or models wrote, as Python objects; serialised only if it is kept.
        start_ns: start, nanoseconds since the epoch.
        end_ns: end, likewise; 0 while it is open.
        parent: the operation it was started under, in this process.
        parent_context: the context it was started in.
        recorder: makes a record of it at its end; none where nothing is recorded.
        span_context: that of its span; of the span above while it has none of its own.
        span_name: name of its span where the table's pattern cannot be filled.
        error: the exception that made it fail, if there was one.
        failure_below: type and message of the last failure right below it, which may be the cause
            of its own.
        events: happenings on the way: name, nanoseconds since the epoch, clean attributes.
        links: spans that led to it without being its parent.
        known: the content of all operations of its tree, for texts that may quote it; none where
            all content is sent.
        decision: whether its trace is sampled, where that is decided by a rate.
        folded: what lies below it and has no span; none where there is none. Where it has none
            itself, that of the operation it is counted on.
        left_out: it has no span because there are too many.
        allowance: how many there may be of the run or task that it lies in; none outside of them.
        noted: where it is noted as begun, for who ends it when this process is killed.
    """

    __slots__ = (
        *("__weakref__", "_context", "_open", "allowance", "attributes", "content", "decision"),
        *("end_ns", "error", "events", "failure_below", "folded", "inherited", "kind", "known"),
        *("left_out", "links", "noted", "parent", "parent_context", "recorder", "span_context"),
        *("span_name", "start_ns"),
    )

    def __init__(
        self,
        kind: t.Kind,
        recorder: Recorder | None,
        *,
        parent: Operation | None,
        context: Context,
        start_ns: int,
        links: Sequence[Link] = (),
        span_name: str = "",
    ) -> None:
        self.kind = kind
        # Copies: what lies below may be hoisting its ids from another thread.
        self.inherited: dict[str, Value] = dict(parent.inherited) if parent is not None else {}
        self.attributes: dict[str, Value] = dict(self.inherited)
        self.content: dict[t.Attribute, object] = {}
        self.events: list[Happening] = []
        self.links = links
        self.error: BaseException | None = None
        self.failure_below = ("", "")
        self.start_ns = start_ns
        self.end_ns = 0
        self.noted: int | None = None
        self.decision: Decision | None = None
        self.parent = parent
        self.parent_context = context
        self._context: Context | None = None
        self.span_context: SpanContext = INVALID_SPAN_CONTEXT
        self.span_name = span_name
        self.folded: Folded | None = None
        self.known: KnownContent | None = None
        self.left_out = False
        self.allowance: Allowance | None = parent.allowance if parent is not None else None
        self.recorder = recorder
        # Whoever pops it ends the operation: there is one end, whatever threads want it at once.
        self._open = [True]

    def set(self, attribute: t.Attribute, value: object) -> None:
        """Set an attribute; ``None`` and empty strings are left out.

        An inherited one also goes to operations started below from now on, and to those above
        whose kind hoists.
        """
        if value is None or value == "":
            return
        if attribute.content:
            self.content[attribute] = value
            self.knows(value)
            return
        plain = clean_known(attribute, value)
        self.attributes[attribute.key] = plain
        if attribute.inherit:
            self.inherited[attribute.key] = plain
            if attribute.hoist:
                self._hoist(attribute.key, plain)

    def knows(self, content: object) -> None:
        """Know of content that this operation has to do with and no attribute holds."""
        if self.known is not None:
            self.known.remember(content)

    def _hoist(self, key: str, value: Value) -> None:
        """Hand what names the run to the request, task and message above."""
        above = self.parent
        while above is not None:
            if above.kind.hoists:
                above.attributes.setdefault(key, value)
                above.inherited.setdefault(key, value)
            above = above.parent

    def set_other(self, key: str, value: object) -> None:
        """Set an attribute that the table may not know, as code of other people does."""
        known = t.BY_KEY.get(key)
        if known is not None:
            self.set(known, value)
        elif value is not None:
            self.attributes[key] = clean_attribute(key, value)

    def forget(self, attribute: t.Attribute) -> None:
        """Take an attribute back, from what lies below as well."""
        self.attributes.pop(attribute.key, None)
        self.inherited.pop(attribute.key, None)

    def get(self, attribute: t.Attribute) -> Value | None:
        """Return what an attribute is set to."""
        return self.attributes.get(attribute.key)

    def enclosing(self, kind: t.Kind) -> Operation | None:
        """Return the nearest operation of a kind: this one, or one that it lies in."""
        found: Operation | None = self
        while found is not None and found.kind is not kind:
            found = found.parent
        return found

    def happened(
        self, name: str, values: Mapping[t.Attribute, object], at_ns: int | None = None
    ) -> None:
        """Note a happening on the way, such as a retry; it becomes a span event.

        Args:
            name: what it is called.
            values: what is known of it.
            at_ns: when it was, nanoseconds since the epoch; now where none is given.
        """
        attributes = {
            attribute.key: clean_known(attribute, value) for attribute, value in values.items()
        }
        self.events.append((name, time.time_ns() if at_ns is None else at_ns, attributes))

    def tell(self, attribute: t.Attribute, value: object) -> None:
        """Tell those that serve this operation how it ended: what lies above up to another run."""
        above = self.parent
        while above is not None and above.kind is not self.kind:
            if attribute in above.kind.told:
                above.set(attribute, value)
            above = above.parent

    def add(self, attribute: t.Attribute, amount: float) -> None:
        """Add to an attribute that counts; operations below may do so from several threads."""
        with process.counting:
            total = self.attributes.get(attribute.key, 0)
            if isinstance(total, int | float):
                self.attributes[attribute.key] = total + amount

    def folding(self) -> Folded:
        """Return what lies below it without a span is added to."""
        if self.folded is None:
            with process.counting:
                self.folded = self.folded or Folded()
        return self.folded

    def fail(self, error: BaseException | str, error_type: str = "") -> None:
        """Mark the operation as failed. The first failure is the cause and stays.

        A type that says nothing gives way to that of the failure below which the text repeats. What
        ends by one of ``STOPS`` has been stopped instead.
        """
        if t.ERROR_TYPE.key in self.attributes:
            return
        kind = error_type or (type(error).__name__ if isinstance(error, BaseException) else "error")
        if kind in STOPS:
            if self.kind.status is not None:
                self.set(self.kind.status, "stopped")
            return
        raised = error if isinstance(error, BaseException) else None
        text = str(error)
        below, message = self.failure_below
        if message and message in text[:_COMPARED] and category_of(kind) == "internal":
            kind = below
        self.set(t.ERROR_TYPE, kind)
        self._explain(kind, text, raised)
        self.error = raised
        if self.parent is not None:
            self.parent.failure_below = (kind, text[:TELLING])

    def recover(self, error: str, error_type: str, at_ns: int | None = None) -> None:
        """Note a failure that was made good: the operation has not failed.

        Errors that were handled are not recorded as such (OpenTelemetry's conventions for recording
        errors); what it was is told all the same.
        """
        self._explain(error_type, error, None)
        self.happened("recovered", {t.ERROR_TYPE: error_type, t.ERROR_MESSAGE: error}, at_ns)

    def _explain(self, kind: str, text: str, raised: BaseException | None) -> None:
        self.set(t.ERROR_MESSAGE, text)
        self.set(t.ERROR_CATEGORY, category_of(kind))
        # A provider's error may quote a whole prompt, and each node around it the whole error.
        short = text[:_COMPARED]
        if self.known is not None:
            self.known.mention(short)
        self.set(t.ERROR_FINGERPRINT, fingerprint_of(raised, kind, short))

    def keep(self) -> None:
        """Have its trace kept, whatever its rate, before anything else lies in it."""
        if self.recorder is not None:
            self.recorder.keep(self)

    @property
    def context(self) -> Context:
        """OpenTelemetry context with this operation, and its span, as the current one.

        What folds has no span yet, and what is not recorded has none: theirs is that around them.
        """
        if self._context is not None:
            return self._context
        if self.recorder is None or self.kind.folds:
            return self.parent_context
        made = within(self, OperationSpan(self))
        if not self.end_ns:
            self._context = made
        return made

    @property
    def failed(self) -> bool:
        """Whether it was marked as failed."""
        return t.ERROR_TYPE.key in self.attributes

    def end(self, at_ns: int | None = None) -> None:
        """End the operation and hand it to the recorder; later calls do nothing."""
        try:
            self._open.pop()
        except IndexError:
            return
        self.end_ns = time.time_ns() if at_ns is None else at_ns
        status = self.kind.status
        if status is not None and status.key not in self.attributes:
            self.attributes[status.key] = "failed" if self.failed else "succeeded"
        if self.recorder is not None:
            self.recorder.ended(self)
        # An exception holds its frames, and with them whatever Dify had in its hands; and a
        # context holds its operation, so that only the garbage collector would find the two.
        self.error = self._context = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make it the current operation of this thread or greenlet, for a block without yields."""
        token = context_api.attach(self.context)
        try:
            yield
        finally:
            context_api.detach(token)
