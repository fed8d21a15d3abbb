"""One child process of the micro benchmark: ``python -m benchmarks.cases CASE VARIANT``.

It attaches what the variant says, does what the case says, and prints JSON, by name of what was
measured: ``us``, CPU in microseconds an item; ``exported``, what the exporters got for an item.

Variants are ``bare`` (nothing attached), ``stock`` (OpenTelemetry's own part) and ``ours``; with
``-discard`` items are batched and go to exporters that discard them, without it none is exported.
Nothing is imported before it is attached, as in a process of Dify.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from benchmarks.measuring import Measured, Telemetry, attach, measure

STATEMENT_CHARACTERS = 799
COLUMNS = (
    *("id", "tenant_id", "app_id", "workflow_id", "triggered_from", "workflow_run_id"),
    *("predecessor_node_id", "node_execution_id", "node_id", "node_type", "title", "inputs"),
    *("process_data", "outputs", "status", "error", "elapsed_time", "execution_metadata"),
    *("created_at", "created_by_role", "created_by", "finished_at"),
)


def sql(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure a query of 799 characters on SQLite in memory, through SQLAlchemy Core."""
    telemetry = attach(variant)
    import sqlalchemy

    engine = sqlalchemy.create_engine("sqlite://")
    if telemetry.provider is not None:
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

        SQLAlchemyInstrumentor().instrument(engine=engine, tracer_provider=telemetry.provider)
    statement = padded_statement()
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE TABLE runs ({', '.join(COLUMNS)})")
        connection.exec_driver_sql("INSERT INTO runs (id) VALUES (?)", ("run-1",))

        def work(items: int) -> None:
            for _ in range(items):
                connection.exec_driver_sql(statement, ("run-1",)).all()

        yield "query", measure(telemetry, work)


def padded_statement() -> str:
    """Write a SELECT as an ORM does, its last alias filled up to exactly 799 characters."""
    columns = ", ".join(f"runs.{name} AS run_{name}" for name in COLUMNS)
    tail = " \nFROM runs \nWHERE runs.id = ?"
    missing = STATEMENT_CHARACTERS - len(f"SELECT {columns}{tail}")
    return f"SELECT {columns}{'x' * missing}{tail}"


def redis_real(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure GET on a real server, whose socket ``BENCH_REDIS_SOCKET`` names."""
    telemetry = attach(variant)
    import redis

    yield "GET", _gets(telemetry, redis.Redis(unix_socket_path=os.environ["BENCH_REDIS_SOCKET"]))


def redis_stub(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure GET of the client alone: its connection sends nothing and always answers."""
    telemetry = attach(variant)
    import redis

    class Stub(redis.Connection):
        """A connection to nothing."""

        def connect(self, *_: Any, **__: Any) -> None:
            """Need no connection."""

        def disconnect(self, *_: Any, **__: Any) -> None:
            """Have nothing to close."""

        def can_read(self, *_: Any, **__: Any) -> bool:
            """Have nothing unread."""
            return False

        def send_packed_command(self, *_: Any, **__: Any) -> None:
            """Drop the command."""

        def read_response(self, *_: Any, **__: Any) -> bytes:
            """Answer."""
            return b"value"

    pool = redis.ConnectionPool(connection_class=Stub)
    yield "GET", _gets(telemetry, redis.Redis(connection_pool=pool))


def _gets(telemetry: Telemetry, client: Any) -> Measured:
    if telemetry.provider is not None:
        from opentelemetry.instrumentation.redis import RedisInstrumentor

        RedisInstrumentor().instrument(tracer_provider=telemetry.provider)

    def work(items: int) -> None:
        for _ in range(items):
            client.get("bench:key")

    return measure(telemetry, work)


def log(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure a log record that a handler formats, and that the variant sends."""

    class Formats(logging.Handler):
        """Formats, as a handler that writes does, and writes nothing."""

        def emit(self, record: logging.LogRecord) -> None:
            self.format(record)

    telemetry = attach(variant)
    handler = Formats()
    handler.setFormatter(
        logging.Formatter(
            "%(asctime)s.%(msecs)03d %(levelname)s [%(threadName)s] "
            "[%(filename)s:%(lineno)d] - %(message)s"
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO)
    if telemetry.provider is not None:
        telemetry.flush = _add_stock_handler()
    logger = logging.getLogger("x")

    def work(items: int) -> None:
        for _ in range(items):
            logger.info("Retrieved %d documents for query %s", 3, "abc")

    yield "record", measure(telemetry, work)
    telemetry.inside = _beside_content(telemetry)
    yield "record beside content", measure(telemetry, work)


def _beside_content(telemetry: Telemetry) -> Callable[[], AbstractContextManager[Any]]:
    """Have what is measured lie in an operation that has 20,000 characters of content."""
    around = telemetry.inside

    @contextmanager
    def inside() -> Iterator[None]:
        with around():
            from otel_dify import table as t
            from otel_dify.operations.current import current

            operation = current()
            if operation is not None:
                words = " ".join(f"word{number * 7919 % 10_007}" for number in range(2_500))
                operation.set(t.NODE_INPUTS, {"query": words[:10_000], "context": words[10_000:]})
            yield

    return inside


def _add_stock_handler() -> Callable[[], object]:
    """Have the SDK's handler send records; return what hands over the batched ones."""
    from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    from benchmarks.discard import Logs

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(Logs()))
    logging.getLogger().addHandler(LoggingHandler(logger_provider=provider))
    return provider.force_flush


def engine(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure runs of graphon: chains of nodes and iterations, of two lengths each."""
    telemetry = attach(variant)
    # A run is opened by itself: there is nothing around it in Dify's worker either.
    telemetry.inside = nullcontext
    from benchmarks.graphs import GRAPHS, run

    for name, app in GRAPHS.items():

        def work(items: int, app: Any = app) -> None:
            for _ in range(items):
                run(app)

        yield name, measure(telemetry, work)


def observe(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure calls of a function: as it is, or observed while telemetry is off."""

    def function(value: int) -> int:
        return value

    called = function
    if variant != "bare":
        import otel_dify

        otel_dify.configure()
        called = otel_dify.observe("bench")(function)

    def work(items: int) -> None:
        for _ in range(items):
            called(1)

    yield "call", measure(Telemetry(), work)


CASES: dict[str, Callable[[str], Iterator[tuple[str, Measured]]]] = {
    "sql": sql,
    "redis": redis_real,
    "redis stub": redis_stub,
    "log": log,
    "engine": engine,
    "observe": observe,
}


if __name__ == "__main__":
    case, chosen = sys.argv[1:]
    found = {name: vars(measured) for name, measured in CASES[case](chosen)}
    print(json.dumps(found), flush=True)
    # What a process does at its end is no part of this.
    os._exit(0)
