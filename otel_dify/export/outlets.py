"""Outlets: where spans and log records leave for, in the form that what sends them takes.

Our own export encodes each at once and puts the bytes into the journal. What exporters take that
are not ours is in ``sdk_outlets.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode

from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.request import encode_scope
from otel_dify.export.encoding.spans import SpanEncoder, fields_of
from otel_dify.export.fitting import LARGEST, shorter_log, shorter_span
from otel_dify.export.journal.journal import Journal

_NONE_DROPPED = (0, 0, 0)


class SpanData(NamedTuple):
    """A span of an operation, in the order in which the encoder takes it.

    Attributes:
        name: its name.
        context: its own context.
        parent: that of the span above it.
        kind: its kind.
        start_ns: when it began, nanoseconds since the epoch.
        end_ns: when it ended, the same.
        attributes: its attributes.
        events: its events.
        links: its links.
        code: how it ended.
        description: what is said of that.
    """

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    events: Sequence[Event]
    links: Sequence[Link]
    code: StatusCode
    description: str | None


class LogData(NamedTuple):
    """A log record.

    Attributes:
        at_ns: when it happened, nanoseconds since the epoch.
        span: context of the span that it belongs to; invalid where it belongs to none.
        severity: how bad it is.
        severity_text: the same in its source's words.
        body: its text.
        attributes: its attributes.
        event_name: name of the event, where it is one.
    """

    at_ns: int
    span: SpanContext
    severity: SeverityNumber
    severity_text: str
    body: str
    attributes: Mapping[str, Any]
    event_name: str | None


class SpanOutlet(Protocol):
    """Takes spans."""

    def span(self, span: SpanData) -> None:
        """Take a span of an operation."""

    def foreign(self, span: ReadableSpan) -> None:
        """Take a span of another instrumentation."""


class LogOutlet(Protocol):
    """Takes log records of one scope."""

    def log(self, log: LogData) -> None:
        """Take a log record."""


class Scopes:
    """The numbers that scopes have in a journal.

    Args:
        journal: the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._numbers: dict[InstrumentationScope, int] = {}

    def number(self, scope: InstrumentationScope) -> int:
        """Return the number of a scope."""
        found = self._numbers.get(scope)
        if found is None:
            found = self._numbers[scope] = self._journal.scope(encode_scope(scope))
        return found


class JournalSpans:
    """Puts spans into a journal.

    Args:
        encoder: encodes them.
        journal: where they go.
        scope: the scope of operations.
        begun: called with each, so that what sends them begins.
    """

    def __init__(
        self,
        encoder: SpanEncoder,
        journal: Journal,
        scope: InstrumentationScope,
        begun: Callable[[], None],
    ) -> None:
        self._encode = encoder.encode
        self._encode_readable = encoder.encode_readable
        self._append = journal.append
        self._scopes = Scopes(journal)
        self._scope = self._scopes.number(scope)
        self._begun = begun

    def span(self, span: SpanData) -> None:
        """Take a span of an operation."""
        attributes, events, dropped = span.attributes, span.events, _NONE_DROPPED
        if type(attributes) is not dict or type(events) is not tuple:
            dropped = (getattr(attributes, "dropped", 0), getattr(events, "dropped", 0), 0)
        encoded = self._encode(*span, dropped)
        if len(encoded) > LARGEST:
            encoded = self._encode(*shorter_span(span), dropped)
        self._append(self._scope, encoded)
        self._begun()

    def foreign(self, span: ReadableSpan) -> None:
        """Take a span of another instrumentation."""
        scope = span.instrumentation_scope
        number = self._scope if scope is None else self._scopes.number(scope)
        encoded = self._encode_readable(span)
        if len(encoded) > LARGEST:
            *fields, dropped = fields_of(span)
            encoded = self._encode(*shorter_span(SpanData._make(fields)), dropped)
        self._append(number, encoded)
        self._begun()


class AllSpans:
    """Passes each span to several outlets.

    Args:
        outlets: the outlets.
    """

    def __init__(self, outlets: Sequence[SpanOutlet]) -> None:
        self._outlets = outlets

    def span(self, span: SpanData) -> None:
        """Take a span of an operation."""
        for outlet in self._outlets:
            outlet.span(span)

    def foreign(self, span: ReadableSpan) -> None:
        """Take a span of another instrumentation."""
        for outlet in self._outlets:
            outlet.foreign(span)


class JournalLogs:
    """Puts log records of one scope into a journal.

    Args:
        encoder: encodes them.
        journal: where they go.
        scope: their scope.
        begun: called with each, so that what sends them begins.
    """

    def __init__(
        self,
        encoder: LogEncoder,
        journal: Journal,
        scope: InstrumentationScope,
        begun: Callable[[], None],
    ) -> None:
        self._encode = encoder.encode
        self._append = journal.append
        self._scope = journal.scope(encode_scope(scope))
        self._begun = begun

    def log(self, log: LogData) -> None:
        """Take a log record."""
        encoded = self._encoded(log)
        if len(encoded) > LARGEST:
            encoded = self._encoded(shorter_log(log))
        self._append(self._scope, encoded)
        self._begun()

    def _encoded(self, log: LogData) -> bytes:
        span, attributes = log.span, log.attributes
        return self._encode(
            log.at_ns,
            time.time_ns(),
            span.trace_id,
            span.span_id,
            span.trace_flags,
            log.severity.value,
            log.severity_text,
            log.body,
            attributes,
            log.event_name,
            0 if type(attributes) is dict else getattr(attributes, "dropped", 0),
        )


class AllLogs:
    """Passes each log record to several outlets.

    Args:
        outlets: the outlets.
    """

    def __init__(self, outlets: Sequence[LogOutlet]) -> None:
        self._outlets = outlets

    def log(self, log: LogData) -> None:
        """Take a log record."""
        for outlet in self._outlets:
            outlet.log(log)
