"""The global providers: they lead to the pipeline of whichever process uses them.

OpenTelemetry lets a global provider be set once, but each forked process has a pipeline of its
own. So the global tracer provider only passes on, and looks the pipeline up at each span.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, Tracer, TracerProvider

from otel_dify.operations.lifecycle import current
from otel_dify.tracer import CurrentSpanTracer

# Scopes of the spans that Dify makes on the global provider with ENABLE_OTEL_FOR_INSTRUMENT: runs,
# nodes and searches, which the sources see themselves.
DIFYS_OWN = frozenset({"extensions.otel.decorators.base", "core.app.workflow.layers.observability"})


class _TransparentSpan(NonRecordingSpan):
    """Passes the span above on, and with it the operation that it lies in."""

    def __init__(self, context: Context | None) -> None:
        super().__init__(trace.get_current_span(context).get_span_context())
        self.operation = current(context)


class _Transparent(CurrentSpanTracer):
    """Makes no spans."""

    def start_span(self, name: str, context: Context | None = None, **_: Any) -> Span:  # type: ignore[override] # the rest does not matter
        """Return a span that stands for the one above."""
        del name
        return _TransparentSpan(context)


class _Tracer(CurrentSpanTracer):
    """Makes spans in the pipeline of the process that asks for them."""

    def __init__(self, *scope: Any) -> None:
        self._scope = scope

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> Span:
        """Start a span as the SDK does."""
        from otel_dify import pipeline

        made = pipeline.current()
        if made is None:
            return INVALID_SPAN
        return made.tracer_provider.get_tracer(*self._scope).start_span(name, *args, **kwargs)


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
