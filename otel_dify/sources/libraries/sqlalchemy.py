"""Queries of the database: where SQLAlchemy hands them to the driver.

With ``OTEL_DIFY_QUERY_SPAN_MS=0`` every query is to be a span, and OpenTelemetry's instrumentation
is the way in. Otherwise it is not attached, since it takes 30 to 60 µs a query before it is known
whether anything will be made of it: the dialect's methods that call the driver are timed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from time import perf_counter_ns
from types import ModuleType
from typing import Any

from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.trace import SpanKind
from wrapt import wrap_function_wrapper

from otel_dify import table as t
from otel_dify.cleaning.statement import without_values
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.operation import Operation
from otel_dify.settings import QUERY_SPAN_MS, Settings
from otel_dify.sources.libraries.bridge import BridgedSpan, instrument, take
from otel_dify.sources.libraries.queries import Folding

_KEPT = "_otel_dify_queries"
"""Where a dialect, of which each engine has its own, keeps what its queries have in common."""
_METHODS = ("do_execute", "do_executemany", "do_execute_no_params")
_WORDS = 16
"""Characters in which the operation of a statement stands."""
# A dialect's own `do_executemany` may call the one that it overrides.
_inside: ContextVar[bool] = ContextVar("otel_dify.inside_a_query", default=False)


def attach(sqlalchemy: ModuleType) -> None:
    """Attach to the engines that SQLAlchemy makes from now on."""
    if Settings()[QUERY_SPAN_MS] == 0:
        _bridge(sqlalchemy)
        return
    from sqlalchemy.engine.default import DefaultDialect

    with suppress(ImportError):
        take(SQLAlchemyInstrumentor())
    _watch(DefaultDialect)
    # No listener: an engine that has any asks them at every step of every query.
    wrap_function_wrapper(sqlalchemy, "Engine.__init__", _on_engine)


def _watch(dialect: type) -> None:
    """Time the methods of a dialect's class that call the driver, each once."""
    for name in _METHODS:
        method = vars(dialect).get(name)
        if method is not None and not hasattr(method, _KEPT):
            around = _around_many if name == "do_executemany" else _around
            timed = around(method)
            setattr(timed, _KEPT, True)
            setattr(dialect, name, timed)


def _on_engine(wrapped: Callable[..., None], engine: Any, args: Any, kwargs: Any) -> None:
    """Watch what the class of an engine's dialect overrides."""
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.libraries.sqlalchemy dialect"):
        for dialect in type(engine.dialect).__mro__:
            _watch(dialect)


def _around(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def timed(dialect: Any, cursor: Any, statement: Any, *rest: Any, **named: Any) -> Any:
        began = perf_counter_ns()
        try:
            result = method(dialect, cursor, statement, *rest, **named)
        except BaseException as error:
            _ended(dialect, statement, perf_counter_ns() - began, rest, error)
            raise
        _ended(dialect, statement, perf_counter_ns() - began, rest)
        return result

    return timed


def _around_many(method: Callable[..., Any]) -> Callable[..., Any]:
    once = _around(method)

    @wraps(method)
    def timed(*args: Any, **named: Any) -> Any:
        if _inside.get():
            return method(*args, **named)
        token = _inside.set(True)
        try:
            return once(*args, **named)
        finally:
            _inside.reset(token)

    return timed


@never_raises("otel_dify.sources.libraries.sqlalchemy end")
def _ended(
    dialect: Any,
    statement: str,
    elapsed_ns: int,
    rest: tuple[Any, ...],
    error: BaseException | None = None,
) -> None:
    queries = dialect.__dict__.get(_KEPT) or _learn(dialect, rest)
    if queries is not None:
        queries.ended(statement[:_WORDS], statement, elapsed_ns, error)


def _learn(dialect: Any, rest: tuple[Any, ...]) -> Folding | None:
    """Learn once what all queries of an engine have in common, from its address."""
    with guarded("otel_dify.sources.libraries.sqlalchemy engine"):
        context = rest[-1] if rest else None
        connection = getattr(context, "root_connection", None)
        url = getattr(getattr(connection, "engine", None), "url", None)
        name = str(dialect.name)
        made = Folding(
            t.QUERY,
            {
                t.DB_SYSTEM: "postgresql" if "postgres" in name else name,
                t.DB_NAMESPACE: getattr(url, "database", None),
                t.SERVER_ADDRESS: getattr(url, "host", None),
                t.SERVER_PORT: getattr(url, "port", None),
            },
            _operation_of,
            without_values,
            has_shapes=True,
        )
        if url is not None:
            setattr(dialect, _KEPT, made)
        return made
    return None


def _operation_of(beginning: str) -> str:
    """Tell the operation from the beginning of a statement, such as ``SELECT``."""
    words = beginning.split(None, 1)
    return words[0].upper() if words else ""


def _bridge(sqlalchemy: ModuleType) -> None:
    """Attach OpenTelemetry's instrumentation, whose spans become operations."""
    # Before the instrumentation, which ends the span with the text of the error alone: listeners
    # of a class are called before those of one engine.
    sqlalchemy.event.listen(sqlalchemy.Engine, "handle_error", _on_error)
    # Without greenlet SQLAlchemy has no asyncio, and the instrumentation stops at that, its last
    # hook, when all others are attached.
    with suppress(ImportError):
        instrument(
            SQLAlchemyInstrumentor(),
            {SpanKind.CLIENT: t.QUERY},
            refine=_refine,
            # Getting a connection is no query; the pools see it (pools.py).
            ignored=lambda name: name == "connect",
        )


@never_raises("otel_dify.sources.libraries.sqlalchemy error")
def _on_error(context: Any) -> None:
    """Take the driver's exception that a query failed with."""
    span = getattr(context.execution_context, "_otel_span", None)
    if isinstance(span, BridgedSpan):
        span.record_exception(context.original_exception)


def _refine(operation: Operation, name: str) -> None:
    """Take the operation from the span's name (``SELECT dify``) and literals from the text."""
    operation.set(t.DB_OPERATION, name.partition(" ")[0].upper())
    statement = operation.get(t.DB_STATEMENT)
    if isinstance(statement, str):
        operation.set(t.DB_STATEMENT, without_values(statement))
