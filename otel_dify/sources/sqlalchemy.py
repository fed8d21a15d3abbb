"""Queries of the database, through OpenTelemetry's SQLAlchemy instrumentation."""

from __future__ import annotations

import re
from contextlib import suppress
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.trace import SpanKind

from otel_dify.guard import never_raises
from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import QUERY
from otel_dify.operations.operation import Operation
from otel_dify.sources.bridge import BridgedSpan, instrument

LIMIT = 2_048
"""Characters kept of a statement."""

# Literals; bound parameters are not part of the statement. Escaped quotes are doubled.
_LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")


def attach(sqlalchemy: ModuleType) -> None:
    """Attach to the engines that SQLAlchemy makes from now on."""
    # Before the instrumentation, which ends the span with the text of the error alone: listeners
    # of a class are called before those of one engine.
    sqlalchemy.event.listen(sqlalchemy.Engine, "handle_error", _on_error)
    # Without greenlet SQLAlchemy has no asyncio, and the instrumentation stops at that, its last
    # hook, when all others are attached.
    with suppress(ImportError):
        instrument(
            SQLAlchemyInstrumentor(),
            {SpanKind.CLIENT: QUERY},
            refine=_refine,
            # Getting a connection is no query; the pools see it (pools.py).
            ignored=lambda name: name == "connect",
        )


@never_raises("otel_dify.sources.sqlalchemy error")
def _on_error(context: Any) -> None:
    """Take the driver's exception that a query failed with."""
    span = getattr(context.execution_context, "_otel_span", None)
    if isinstance(span, BridgedSpan):
        span.record_exception(context.original_exception)


def _refine(operation: Operation, name: str) -> None:
    """Take the operation from the span's name (``SELECT dify``) and literals from the text."""
    operation.set(a.DB_OPERATION, name.partition(" ")[0].upper())
    statement = operation.get(a.DB_STATEMENT)
    if isinstance(statement, str):
        operation.set(a.DB_STATEMENT, _LITERAL.sub("?", statement[:LIMIT]))
