"""Outlets: where spans and log records leave for, in the form that what sends them takes.

Our own export encodes each at once and puts the bytes into the journal. Exporters that are not ours
take the SDK's objects, which wait in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from otel_dify.export.encoding.logs import LogEncoder
from otel_dify.export.encoding.request import encode_scope
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.journal.journal import Journal

_NOWHERE = Context()
_UNSET = Status()
_NONE_DROPPED = (0, 0, 0)


class SpanOutlet(Protocol):
    """Takes spans."""

    def span(  # noqa: PLR0917 - called for every span: names would cost
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, Any],
        events: Sequence[Event],
        links: Sequence[Link],
        code: StatusCode,
        description: str | None,
    ) -> None:
        """Take a span of an operation."""

    def foreign(self, span: ReadableSpan) -> None:
        """Take a span of another instrumentation."""


class LogOutlet(Protocol):
    """Takes log records of one scope."""

    def log(  # noqa: PLR0917 - called for every record: names would cost
        self,
        at_ns: int,
        span: SpanContext,
        severity: SeverityNumber,
        severity_text: str,
        body: str,
        attributes: Mapping[str, Any],
        event_name: str | None,
    ) -> None:
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

    def span(  # noqa: PLR0917 - called for every span: names would cost
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, Any],
        events: Sequence[Event],
        links: Sequence[Link],
        code: StatusCode,
        description: str | None,
    ) -> None:
        """Take a span of an operation."""
        dropped = _NONE_DROPPED
        if type(attributes) is not dict or type(events) is not tuple:
            dropped = (getattr(attributes, "dropped", 0), getattr(events, "dropped", 0), 0)
        encoded = self._encode(
            name,
            context,
            parent,
            kind,
            start_ns,
            end_ns,
            attributes,
            events,
            links,
            code,
            description,
            dropped,
        )
        self._append(self._scope, encoded)
        self._begun()

    def foreign(self, span: ReadableSpan) -> None:
        """Take a span of another instrumentation."""
        scope = span.instrumentation_scope
        number = self._scope if scope is None else self._scopes.number(scope)
        self._append(number, self._encode_readable(span))
        self._begun()


class SdkSpans:
    """Makes spans of the SDK.

    Args:
        send: takes each on.
        resource: the resource of this process.
        scope: the scope of operations.
    """

    def __init__(
        self, send: Callable[[ReadableSpan], None], resource: Resource, scope: InstrumentationScope
    ) -> None:
        self._send = send
        self._resource = resource
        self._scope = scope
        self.foreign = send

    def span(  # noqa: PLR0917 - called for every span: names would cost
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        start_ns: int,
        end_ns: int,
        attributes: Mapping[str, Any],
        events: Sequence[Event],
        links: Sequence[Link],
        code: StatusCode,
        description: str | None,
    ) -> None:
        """Take a span of an operation."""
        self._send(
            ReadableSpan(
                name,
                context,
                parent,
                self._resource,
                attributes,
                events,
                links,
                kind,
                status=_UNSET if code is StatusCode.UNSET else Status(code, description),
                start_time=start_ns,
                end_time=end_ns,
                instrumentation_scope=self._scope,
            )
        )


class AllSpans:
    """Passes each span to several outlets.

    Args:
        outlets: the outlets.
    """

    def __init__(self, outlets: Sequence[SpanOutlet]) -> None:
        self._outlets = outlets

    def span(self, *span: Any) -> None:
        """Take a span of an operation."""
        for outlet in self._outlets:
            outlet.span(*span)

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

    def log(  # noqa: PLR0917 - called for every record: names would cost
        self,
        at_ns: int,
        span: SpanContext,
        severity: SeverityNumber,
        severity_text: str,
        body: str,
        attributes: Mapping[str, Any],
        event_name: str | None,
    ) -> None:
        """Take a log record."""
        encoded = self._encode(
            at_ns,
            time.time_ns(),
            span.trace_id,
            span.span_id,
            span.trace_flags,
            severity.value,
            severity_text,
            body,
            attributes,
            event_name,
            0 if type(attributes) is dict else getattr(attributes, "dropped", 0),
        )
        self._append(self._scope, encoded)
        self._begun()


class SdkLogs:
    """Makes log records of the SDK.

    Args:
        send: takes each on.
        resource: the resource of this process.
        scope: their scope.
    """

    def __init__(
        self,
        send: Callable[[ReadableLogRecord], None],
        resource: Resource,
        scope: InstrumentationScope,
    ) -> None:
        self._send = send
        self._resource = resource
        self._scope = scope

    def log(  # noqa: PLR0917 - called for every record: names would cost
        self,
        at_ns: int,
        span: SpanContext,
        severity: SeverityNumber,
        severity_text: str,
        body: str,
        attributes: Mapping[str, Any],
        event_name: str | None,
    ) -> None:
        """Take a log record."""
        record = LogRecord(
            timestamp=at_ns,
            observed_timestamp=time.time_ns(),
            context=_NOWHERE,
            severity_text=severity_text,
            severity_number=severity,
            body=body,
            attributes=attributes,
            event_name=event_name,
        )
        record.trace_id = span.trace_id
        record.span_id = span.span_id
        record.trace_flags = span.trace_flags
        self._send(ReadableLogRecord(record, self._resource, self._scope))


class AllLogs:
    """Passes each log record to several outlets.

    Args:
        outlets: the outlets.
    """

    def __init__(self, outlets: Sequence[LogOutlet]) -> None:
        self._outlets = outlets

    def log(self, *record: Any) -> None:
        """Take a log record."""
        for outlet in self._outlets:
            outlet.log(*record)
