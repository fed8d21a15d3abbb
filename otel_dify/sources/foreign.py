"""Spans of foreign instrumentations: they are made by the provider of whichever process asks.

OpenTelemetry lets a global provider be set once, but each forked process has a pipeline of its
own. So the global tracer provider only passes on. What it makes is cleaned like everything else
when it ends (``records/foreign.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, Tracer, TracerProvider, use_span

from otel_dify.operations.current import current
from otel_dify.operations.span import OperationSpan
from otel_dify.process import process

if TYPE_CHECKING:
    from otel_dify.pipeline import Pipeline

# Scopes of the spans that Dify makes on the global provider with ENABLE_OTEL_FOR_INSTRUMENT: runs,
# nodes and searches, which the sources see themselves.
DIFYS_OWN = frozenset({"extensions.otel.decorators.base", "core.app.workflow.layers.observability"})


class CurrentSpanTracer(Tracer):
    """A tracer whose ``start_as_current_span`` follows from its ``start_span``."""

    @contextmanager
    def start_as_current_span(  # type: ignore[override] # upstream's decorator is private
        self,
        name: str,
        *args: Any,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
        **kwargs: Any,
    ) -> Iterator[Span]:
        """Start a span and make it the current one, as the SDK does."""
        span = self.start_span(name, *args, **kwargs)
        with use_span(
            span,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ):
            yield span


class _Transparent(CurrentSpanTracer):
    """Makes no spans."""

    def start_span(self, name: str, context: Context | None = None, **_: Any) -> Span:  # type: ignore[override] # the rest does not matter
        """Return a span that stands for the one above, and for the operation it lies in."""
        del name
        operation = current(context)
        if operation is not None:
            return _TransparentOperation(operation)
        return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())


class _TransparentOperation(OperationSpan):
    """Passes the operation above on, and takes nothing for it."""

    def is_recording(self) -> bool:
        """Nothing is taken."""
        return False

    def set_attribute(self, key: str, value: Any) -> None:
        """Leave an attribute out."""

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Leave an event out."""


class _Tracer(CurrentSpanTracer):
    """Makes spans in the pipeline of the process that asks for them.

    Args:
        scope: name, version, schema and attributes of the instrumentation.
    """

    def __init__(self, *scope: Any) -> None:
        self._scope = scope
        self._pipeline: Pipeline | None = None
        self._tracer: Tracer | None = None

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> Span:
        """Start a span as the SDK does."""
        pipeline = process.recording()
        if pipeline is None:
            return INVALID_SPAN
        tracer = self._tracer
        if tracer is None or self._pipeline is not pipeline:
            tracer = pipeline.tracer_provider.get_tracer(*self._scope)
            self._pipeline, self._tracer = pipeline, tracer
        return tracer.start_span(name, *args, **kwargs)


class GlobalTracerProvider(TracerProvider):
    """Passes every span on to the pipeline of the process that makes it."""

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> Tracer:
        """Return a tracer of the given scope."""
        if instrumenting_module_name in DIFYS_OWN:
            return _Transparent()
        return _Tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )


def set_global_providers(environ: Mapping[str, str]) -> None:
    """Set the global tracer provider, unless Dify will set its own (``ENABLE_OTEL=true``)."""
    if environ.get("ENABLE_OTEL", "").lower() != "true":
        trace.set_tracer_provider(GlobalTracerProvider())
