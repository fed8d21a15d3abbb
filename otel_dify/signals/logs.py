"""Log records of OpenTelemetry: the writer that events and Python's log records have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.values import Value

_NOWHERE = Context()


class LogWriter:
    """Writes log records of one scope.

    Args:
        send: takes each record on.
        resource: the resource of this process.
        scope: the scope that the records are of.
        most: attributes that a record may have (``OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT``).
        longest: characters that a value may have (``OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT``);
            no limit where there is none.
    """

    def __init__(
        self,
        send: Callable[[ReadableLogRecord], None],
        resource: Resource,
        scope: InstrumentationScope,
        most: int,
        longest: int | None,
    ) -> None:
        self._send = send
        self._resource = resource
        self._scope = scope
        self._most = most
        self._longest = longest

    def write(  # noqa: PLR0917 - lines that wait are kept as what is given here
        self,
        at_ns: int,
        span: SpanContext,
        severity: SeverityNumber,
        severity_text: str,
        body: str,
        attributes: Mapping[str, Value],
        event_name: str | None = None,
    ) -> None:
        """Write a record, all of whose texts are clean.

        Args:
            at_ns: when it happened, nanoseconds since the epoch.
            span: context of the span that it belongs to; invalid where it belongs to none.
            severity: how bad it is.
            severity_text: the same in its source's words.
            body: its text.
            attributes: its attributes.
            event_name: name of the event, where it is one.
        """
        if self._longest is not None or len(attributes) > self._most:
            held: Any = BoundedAttributes(self._most, attributes, max_value_len=self._longest)
        else:
            held = attributes
        record = LogRecord(
            timestamp=at_ns,
            observed_timestamp=time.time_ns(),
            context=_NOWHERE,
            severity_text=severity_text,
            severity_number=severity,
            body=body,
            attributes=held,
            event_name=event_name,
        )
        record.trace_id = span.trace_id
        record.span_id = span.span_id
        record.trace_flags = span.trace_flags
        self._send(ReadableLogRecord(record, self._resource, self._scope))
