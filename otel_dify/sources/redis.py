"""Commands to Redis, through OpenTelemetry's Redis instrumentation."""

from __future__ import annotations

from types import ModuleType

from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.trace import SpanKind

from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import QUERY
from otel_dify.operations.operation import Operation
from otel_dify.sources.bridge import instrument


def attach(_: ModuleType) -> None:
    """Attach to the clients of Redis."""
    instrument(RedisInstrumentor(), {SpanKind.CLIENT: QUERY}, refine=_refine)


def _refine(operation: Operation, name: str) -> None:
    """Name the command; a pipeline's name is its commands, of which the first will do."""
    operation.set(a.DB_OPERATION, name.partition(" ")[0].upper())
