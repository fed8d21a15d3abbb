"""HTTP calls, through OpenTelemetry's HTTPX instrumentation."""

from __future__ import annotations

from types import ModuleType

from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.trace import SpanKind

from otel_dify import table as t
from otel_dify.operations.operation import Operation
from otel_dify.sources.libraries.bridge import instrument


def attach(_: ModuleType) -> None:
    """Attach to the clients of HTTPX; ``traceparent`` is sent on."""
    instrument(HTTPXClientInstrumentor(), {SpanKind.CLIENT: t.HTTP_CALL}, refine=_refine)


def _refine(operation: Operation, _name: str) -> None:
    """Leave out the query of the address: it holds keys and what users typed."""
    address = operation.get(t.URL_FULL)
    if isinstance(address, str):
        operation.set(t.URL_FULL, address.partition("?")[0])
