"""The span of an operation as others see it: what is current while the operation runs."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanContext, SpanKind, set_span_in_context

from otel_dify.cleaning.text import clean, clean_attribute

if TYPE_CHECKING:
    from otel_dify.operations.operation import Operation

KEY = context_api.create_key("otel_dify.operation")
"""Where a context has the operation that it lies in."""


class OperationSpan(Span):
    """Stands for an operation where a span is expected.

    Attributes and events that other people's code sets on the current span become the operation's.
    Its name, its outcome and its end are not theirs: they follow from the table and from Dify.

    Attributes:
        operation: the operation it stands for.
        name: what an instrumentation called it.
    """

    def __init__(self, operation: Operation, name: str = "") -> None:
        self.operation = operation
        self.name = name

    @property
    def kind(self) -> SpanKind:
        """Kind of the span."""
        return self.operation.kind.span_kind

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What is set so far."""
        return self.operation.attributes

    def get_span_context(self) -> SpanContext:
        """Return the context of the operation's span, or of the one above while it has none."""
        return self.operation.span_context

    def is_recording(self) -> bool:
        """Whether attributes are still taken."""
        return not self.operation.end_ns

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute."""
        self.operation.set_other(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Note a happening."""
        known = {key: clean_attribute(key, value) for key, value in (attributes or {}).items()}
        self.operation.events.append((clean(name), timestamp or time.time_ns(), known))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an exception, as OpenTelemetry's conventions for exceptions have it."""
        del escaped
        told = {
            "exception.type": type(exception).__qualname__,
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
        }
        self.add_event("exception", told | dict(attributes or {}), timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Leave out a link that comes after the start."""

    def update_name(self, name: str) -> None:
        """Take note of another name; the table's pattern decides what it is used for."""
        self.name = name

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Leave out an outcome: whoever ends the operation knows it."""

    def end(self, end_time: int | None = None) -> None:
        """Leave out an end: whoever started the operation ends it."""

    def __getattr__(self, name: str) -> None:
        """Return ``None`` for what else instrumentations read of the SDK's spans.

        They rely on it without asking (``span.parent``, ``span.resource``), inside Dify's own
        calls, so a name that is missing here would fail a request of Dify.
        """
        if name.startswith("__"):
            raise AttributeError(name)


def within(operation: Operation, span: OperationSpan) -> Context:
    """Return the context in which an operation and its span are the current ones."""
    return context_api.set_value(
        KEY, operation, set_span_in_context(span, operation.parent_context)
    )
