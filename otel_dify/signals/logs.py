"""Log records of OpenTelemetry: the writer that events and Python's log records have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.attributes import BoundedAttributes

from otel_dify.export.outlets import LogData

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from otel_dify.cleaning.values import Value
    from otel_dify.export.outlets import LogOutlet


class LogWriter:
    """Writes log records of one scope.

    Args:
        outlet: takes each record on.
        most: attributes that a record may have (``OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT``).
        longest: characters that a value may have (``OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT``);
            no limit where there is none.
    """

    def __init__(self, outlet: LogOutlet, most: int, longest: int | None) -> None:
        self._outlet = outlet
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
        held: Any = attributes
        if self._longest is not None or len(attributes) > self._most:
            held = BoundedAttributes(self._most, attributes, max_value_len=self._longest)
        self._outlet.log(LogData(at_ns, span, severity, severity_text, body, held, event_name))
