"""Queries of the database and of Redis, and connections taken from pools."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import FAILURE, SERVER_ADDRESS, SERVER_PORT
from otel_dify.table.instrument import SHORT_BUCKETS, Amount, Instrument, Recording
from otel_dify.table.kind import Kind

DB_QUERIES = define(
    "dify.db.query.count", "int", "Queries folded into this operation (fast, without a span)"
)
DB_TIME = define("dify.db.query.duration", "double", "Seconds spent in the folded queries")
DB_SLOWEST = define(
    "dify.db.query.slowest", "double", "Seconds that the slowest of the folded queries took"
)
DB_QUERIES_OF = define(
    "dify.db.<system>.query.count", "int", "Those of one database: `postgresql`, `redis` and so on"
)
DB_TIME_OF = define("dify.db.<system>.query.duration", "double", "Their seconds")
FOLDED = (DB_QUERIES, DB_TIME, DB_SLOWEST, DB_QUERIES_OF, DB_TIME_OF)
"""What a kind carries below which queries fold."""
REPEATED = "repeated query"
"""Span event of an operation below which the same statement came many times: which, how often and
how long all together."""
DB_SYSTEM = define("db.system.name", "string", "`postgresql`, `redis` and so on")
DB_NAMESPACE = define("db.namespace", "string", "Database")
DB_OPERATION = define("db.operation.name", "string", "`SELECT`, `GET` and so on")
DB_STATEMENT = define("db.query.text", "string", "Statement, values replaced by `?`", text=2_048)

DB_DURATION = Instrument(
    "db.client.operation.duration", "histogram", "s", "Duration of queries", SHORT_BUCKETS
)
CONNECTIONS_ACTIVE = Instrument(
    "dify.database.connections.active",
    "gauge",
    "{connection}",
    "Database connections that this process has taken from its pools",
)
CONNECTIONS_MAX = Instrument(
    "dify.database.connections.max",
    "gauge",
    "{connection}",
    "Database connections that the pools of this process may open",
)
CONNECTION_WAIT = Instrument(
    "db.client.connection.wait_time",
    "histogram",
    "s",
    "Time to get a connection from its pool",
    SHORT_BUCKETS,
)
QUERY = Kind(
    name="query",
    doc="A query of the database or of Redis. Fast ones are counted on the operation above.",
    span_name="{db.operation.name} {db.namespace}",
    span_kind=SpanKind.CLIENT,
    below=(
        *(
            "request",
            "send",
            "task",
            "run",
            "node",
            "draft node",
            "tool call",
            "message",
            "agent",
            "retrieval",
        ),
        *("search", "moderation", "generation", "dataset created", "feedback", "annotation hit"),
        *("indexing", "indexing error", "trigger", "custom"),
    ),
    attributes=(
        DB_SYSTEM,
        DB_NAMESPACE,
        DB_OPERATION,
        DB_STATEMENT,
        SERVER_ADDRESS,
        SERVER_PORT,
    ),
    recordings=(
        Recording(
            DB_DURATION,
            Amount.DURATION,
            (
                (DB_SYSTEM.key, DB_SYSTEM),
                (DB_NAMESPACE.key, DB_NAMESPACE),
                (DB_OPERATION.key, DB_OPERATION),
                FAILURE,
            ),
        ),
    ),
    folds=True,
    folded=FOLDED,
)
CHECKOUT = Kind(
    name="checkout",
    doc="A database connection taken from its pool. A fast one has no span.",
    span_name="connection checkout",
    span_kind=SpanKind.INTERNAL,
    below=QUERY.below,
    attributes=(),
    recordings=(Recording(CONNECTION_WAIT, Amount.DURATION, (FAILURE,)),),
    folds=True,
)
