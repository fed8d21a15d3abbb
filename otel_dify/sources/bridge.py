"""The bridge: spans of OpenTelemetry's own instrumentations become operations.

The instrumentations are given a tracer provider of ours. What they start, set and end as a span
is an operation of the kind that the source names, so that requests, tasks, queries and HTTP calls
go through the same table, recorders and folding as everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
)

from otel_dify.guard import guarded
from otel_dify.operations import attributes as a
from otel_dify.operations.kind import Kind
from otel_dify.operations.lifecycle import start, surrounds
from otel_dify.operations.operation import Operation
from otel_dify.operations.values import as_value
from otel_dify.tracer import CurrentSpanTracer

# Names of older conventions, to the names of the table.
_RENAMED = {
    "db.name": a.DB_NAMESPACE.key,
    "db.operation": a.DB_OPERATION.key,
    "db.statement": a.DB_STATEMENT.key,
    "db.system": a.DB_SYSTEM.key,
    "db.redis.database_index": a.DB_NAMESPACE.key,
    "http.method": a.HTTP_METHOD.key,
    "http.status_code": a.HTTP_STATUS.key,
    "http.target": a.URL_PATH.key,
    "http.url": a.URL_FULL.key,
    "http.user_agent": a.USER_AGENT.key,
    "messaging.destination": a.DESTINATION.key,
    "messaging.message_id": a.MESSAGE_UID.key,
    "net.peer.ip": a.CLIENT_ADDRESS.key,
    "net.peer.name": a.SERVER_ADDRESS.key,
    "net.peer.port": a.SERVER_PORT.key,
    "server.name": a.SERVER_ADDRESS.key,
}

type Refine = Callable[[Operation, str], None]


class _ReadSpan(Span):
    """A span with what upstream's instrumentations read of the SDK's, beyond the API's.

    They rely on it without asking (``span.name``, ``span.kind``), inside Dify's own calls, so a
    name that is missing here would fail a request of Dify: unknown ones are ``None``.
    """

    def __init__(self, name: str, kind: SpanKind) -> None:
        self.name = name
        self.kind = kind

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class BridgedSpan(_ReadSpan):
    """Stands for an operation where an instrumentation expects a span.

    Attributes:
        operation: the operation it stands for.
        at_end: what ends the operation when the instrumentation ends the span.
    """

    def __init__(self, operation: Operation, refine: Refine, name: str) -> None:
        super().__init__(name, operation.kind.span_kind)
        self.operation = operation
        self.at_end: Callable[[int | None], None] = operation.end
        self._known = {attribute.key for attribute in operation.kind.attributes}
        self._refine = refine
        self._failure: tuple[BaseException | str, bool] | None = None
        self._ended = False

    @property
    def attributes(self) -> Mapping[str, Any]:
        """What is set so far."""
        return self.operation.attributes

    def get_span_context(self) -> SpanContext:
        """Return the operation's span, or the one above where it has none of its own."""
        own = self.operation.span.get_span_context()
        if own.is_valid:
            return own
        return trace.get_current_span(self.operation.parent_context).get_span_context()

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute that the kind's row has; all others are left out."""
        key = _RENAMED.get(key, key)
        if key in self._known and value is not None and value != "":
            self.operation.attributes[key] = as_value(value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set several attributes."""
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Leave out an event: those of the bridged instrumentations repeat the exception."""

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Leave out a link that comes after the start."""

    def update_name(self, name: str) -> None:
        """Take note of another name; the table's pattern decides what it is used for."""
        self.name = name

    def is_recording(self) -> bool:
        """Whether attributes are still taken."""
        return not self._ended

    def set_status(self, status: Any, description: str | None = None) -> None:
        """Take note of a failure."""
        if isinstance(status, Status):
            status, description = status.status_code, status.description
        if status is StatusCode.ERROR and self._failure is None:
            self._failure = (description or "", False)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Take note of the exception that made the operation fail."""
        del attributes, timestamp, escaped
        self._failure = (exception, True)

    def end(self, end_time: int | None = None) -> None:
        """End the operation."""
        if self._ended:
            return
        self._ended = True
        with guarded(f"otel_dify.sources.bridge {self.operation.kind.name}"):
            self._refine(self.operation, self.name)
            if self._failure is not None:
                self._fail(*self._failure)
            self.at_end(end_time)

    def _fail(self, cause: BaseException | str, raised: bool) -> None:
        status = self.operation.get(a.HTTP_STATUS)
        if raised or status is None:
            self.operation.fail(cause)
        else:
            self.operation.fail(cause or f"HTTP status {status}", str(status))


class _Inert(_ReadSpan, trace.NonRecordingSpan):
    """Stands where there is no operation, and passes the span above on."""

    def __init__(self, name: str, kind: SpanKind, above: SpanContext) -> None:
        _ReadSpan.__init__(self, name, kind)
        trace.NonRecordingSpan.__init__(self, above)
        self.attributes: Mapping[str, Any] = {}


class BridgeTracer(CurrentSpanTracer):
    """Starts operations where an instrumentation starts spans.

    Args:
        kinds: kind of operation by kind of span.
        refine: completes an operation from the name the instrumentation gave, at its end.
        started: sees each span that has been started.
        ignored: tells from its name whether a span stays invisible.
    """

    def __init__(
        self,
        kinds: Mapping[SpanKind, Kind],
        refine: Refine,
        started: Callable[[BridgedSpan], None],
        ignored: Callable[[str], bool],
    ) -> None:
        self._kinds = kinds
        self._refine = refine
        self._started = started
        self._ignored = ignored

    def start_span(  # noqa: PLR0917 - the interface of OpenTelemetry
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        """Start an operation; a kind of span that the source does not name stays invisible."""
        del record_exception, set_status_on_exception
        row = self._kinds.get(kind)
        if row is not None and not self._ignored(name):
            with guarded(f"otel_dify.sources.bridge {row.name}"):
                # The recorders start the span with what is known now: samplers look at it.
                operation = start(
                    row,
                    _from(row, attributes or {}),
                    parent=context,
                    at_ns=start_time,
                    links=links or (),
                )
                span = BridgedSpan(operation, self._refine, name)
                if row.hoists:
                    surrounds(operation)
                self._started(span)
                return span
        return _Inert(name, kind, trace.get_current_span(context).get_span_context())


class BridgeProvider(TracerProvider):
    """Gives an instrumentation the bridge for its tracer."""

    def __init__(self, tracer: BridgeTracer) -> None:
        self._tracer = tracer

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        """Return the bridge, whatever the scope."""
        del args, kwargs
        return self._tracer


def _from(row: Kind, attributes: Mapping[str, Any]) -> dict[a.Attribute, Any]:
    """Pick from an instrumentation's attributes those of a kind's row."""
    renamed = {_RENAMED.get(key, key): value for key, value in attributes.items()}
    return {known: renamed[known.key] for known in row.attributes if known.key in renamed}


def _as_it_is(_operation: Operation, _name: str) -> None:
    """Complete nothing."""


def _unseen(_span: BridgedSpan) -> None:
    """See nothing."""


def _none(_name: str) -> bool:
    """Ignore no span."""
    return False


def instrument(
    instrumentor: Any,
    kinds: Mapping[SpanKind, Kind],
    *,
    refine: Refine = _as_it_is,
    started: Callable[[BridgedSpan], None] = _unseen,
    ignored: Callable[[str], bool] = _none,
    **options: Any,
) -> None:
    """Attach an upstream instrumentation with the bridge as its tracer provider.

    Its metrics are not wanted: the table's recordings are made from the same operations.

    Args:
        instrumentor: the upstream instrumentor, made.
        kinds: kind of operation by kind of span.
        refine: completes an operation from the name the instrumentation gave, at its end.
        started: sees each span that has been started.
        ignored: tells from its name whether a span stays invisible.
        options: what else the instrumentor takes.
    """
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    instrumentor.instrument(
        tracer_provider=BridgeProvider(BridgeTracer(kinds, refine, started, ignored)),
        meter_provider=NoOpMeterProvider(),
        skip_dep_check=True,
        **options,
    )
