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

from otel_dify import table as t
from otel_dify.guard import guarded
from otel_dify.operations.current import start, surrounds
from otel_dify.operations.operation import Operation
from otel_dify.operations.span import OperationSpan
from otel_dify.sources.foreign import CurrentSpanTracer

# Names of older conventions, to the names of the table.
_RENAMED = {
    "db.name": t.DB_NAMESPACE.key,
    "db.operation": t.DB_OPERATION.key,
    "db.statement": t.DB_STATEMENT.key,
    "db.system": t.DB_SYSTEM.key,
    "db.redis.database_index": t.DB_NAMESPACE.key,
    "http.method": t.HTTP_METHOD.key,
    "http.status_code": t.HTTP_STATUS.key,
    "http.target": t.URL_PATH.key,
    "http.url": t.URL_FULL.key,
    "http.user_agent": t.USER_AGENT.key,
    "messaging.destination": t.DESTINATION.key,
    "messaging.message_id": t.MESSAGE_UID.key,
    "net.peer.ip": t.CLIENT_ADDRESS.key,
    "net.peer.name": t.SERVER_ADDRESS.key,
    "net.peer.port": t.SERVER_PORT.key,
    "server.name": t.SERVER_ADDRESS.key,
}

type Refine = Callable[[Operation, str], None]

# By kind, the attributes of its row by the names that instrumentations have for them.
_OF_KIND: dict[t.Kind, dict[str, t.Attribute]] = {}
for _kind in t.KINDS:
    _own = {attribute.key: attribute for attribute in _kind.attributes}
    _OF_KIND[_kind] = _own | {old: _own[new] for old, new in _RENAMED.items() if new in _own}


class BridgedSpan(OperationSpan):
    """The span of an instrumentation, which sets, names and ends the operation it stands for.

    Attributes:
        at_end: what ends the operation when the instrumentation ends the span.
    """

    def __init__(self, operation: Operation, refine: Refine, name: str) -> None:
        super().__init__(operation, name)
        self.at_end: Callable[[int | None], None] = operation.end
        self._known = _OF_KIND[operation.kind]
        self._refine = refine
        self._failure: tuple[BaseException | str, bool] | None = None
        self._ended = False

    def is_recording(self) -> bool:
        """Whether attributes are still taken."""
        return not self._ended

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute that the kind's row has; all others are left out."""
        attribute = self._known.get(key)
        if attribute is not None:
            self.operation.set(attribute, value)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Leave out an event: those of the bridged instrumentations repeat the exception."""

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
        with guarded(f"otel_dify.sources.libraries.bridge {self.operation.kind.name}"):
            self._refine(self.operation, self.name)
            if self._failure is not None:
                self._fail(*self._failure)
            self.at_end(end_time)

    def _fail(self, cause: BaseException | str, raised: bool) -> None:
        status = self.operation.get(t.HTTP_STATUS)
        if raised or status is None:
            self.operation.fail(cause)
        else:
            self.operation.fail(cause or f"HTTP status {status}", str(status))


class _Inert(trace.NonRecordingSpan):
    """Stands where there is no operation, and passes the span above on."""

    def __init__(self, name: str, kind: SpanKind, above: SpanContext) -> None:
        super().__init__(above)
        self.name = name
        self.kind = kind
        self.attributes: Mapping[str, Any] = {}

    def __getattr__(self, name: str) -> None:
        """Return ``None`` for what else instrumentations read of the SDK's spans."""
        if name.startswith("__"):
            raise AttributeError(name)


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
        kinds: Mapping[SpanKind, t.Kind],
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
            with guarded(f"otel_dify.sources.libraries.bridge {row.name}"):
                # The recorders start the span with what is known now: samplers look at it.
                known = _OF_KIND[row]
                given = {
                    known[key]: value for key, value in (attributes or {}).items() if key in known
                }
                operation = start(row, given, parent=context, at_ns=start_time, links=links or ())
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


def _as_it_is(_operation: Operation, _name: str) -> None:
    """Complete nothing."""


def _unseen(_span: BridgedSpan) -> None:
    """See nothing."""


def _none(_name: str) -> bool:
    """Ignore no span."""
    return False


def instrument(
    instrumentor: Any,
    kinds: Mapping[SpanKind, t.Kind],
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
    vars(instrumentor).pop("_instrument", None)
    instrumentor.instrument(
        tracer_provider=BridgeProvider(BridgeTracer(kinds, refine, started, ignored)),
        meter_provider=NoOpMeterProvider(),
        skip_dep_check=True,
        **options,
    )


def take(instrumentor: Any) -> None:
    """Have an upstream instrumentation attached to nothing, so that nobody else attaches it.

    Dify does with ``ENABLE_OTEL=true``, and another distro: what our own sources see would be
    seen twice.
    """
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    instrumentor._instrument = _attach_nothing  # noqa: SLF001 - what every instrumentor defines
    instrumentor.instrument(skip_dep_check=True)


def _attach_nothing(**_: Any) -> None:
    """Attach nothing."""
