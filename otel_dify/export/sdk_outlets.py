"""Outlets to exporters that are not ours: they take the SDK's objects, which wait in memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status, StatusCode

from otel_dify.export.outlets import LogData, SpanData

_NOWHERE = Context()
_UNSET = Status()


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

    def span(self, span: SpanData) -> None:
        """Take a span of an operation."""
        status = _UNSET if span.code is StatusCode.UNSET else Status(span.code, span.description)
        self._send(
            ReadableSpan(
                span.name,
                span.context,
                span.parent,
                self._resource,
                span.attributes,
                span.events,
                span.links,
                span.kind,
                status=status,
                start_time=span.start_ns,
                end_time=span.end_ns,
                instrumentation_scope=self._scope,
            )
        )


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

    def log(self, log: LogData) -> None:
        """Take a log record."""
        record = LogRecord(
            timestamp=log.at_ns,
            observed_timestamp=time.time_ns(),
            context=_NOWHERE,
            severity_text=log.severity_text,
            severity_number=log.severity,
            body=log.body,
            attributes=log.attributes,
            event_name=log.event_name,
        )
        record.trace_id = log.span.trace_id
        record.span_id = log.span.span_id
        record.trace_flags = log.span.trace_flags
        self._send(ReadableLogRecord(record, self._resource, self._scope))
