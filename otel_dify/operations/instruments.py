"""Metrics: the instruments and their buckets. What is recorded on them is in ``recordings``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric.

    Attributes:
        name: its name.
        kind: what it is.
        unit: UCUM unit.
        doc: what it measures.
        buckets: upper bounds of a histogram's buckets, in ``unit``: the union of what all who
            read the metric ask for, since a Collector can rename but not invent a bucket.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    doc: str
    buckets: tuple[float, ...] = ()


_RUN_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 3600)
_NODE_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
# OpenTelemetry's GenAI conventions, with .5, 1, 2, 5, 10 and 30 that dashboards of Dify ask for.
_MODEL_BUCKETS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.64, 1, 1.28, 2, 2.56),
    *(5, 5.12, 10, 10.24, 20.48, 30, 40.96, 60, 81.92),
)
_FIRST_CHUNK_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60),
)
_TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
# OpenTelemetry's HTTP conventions, with 1, 2 and what streams need.
_HTTP_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2, 2.5, 5, 7.5, 10),
    *(30, 60, 120, 300),
)
_DB_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)

REQUESTS = Instrument("dify.requests.total", "counter", "{request}", "Operations, by type")
ERRORS = Instrument("dify.errors.total", "counter", "{error}", "Failed operations, by type")
TOKENS_TOTAL = Instrument(
    "dify.tokens.total",
    "counter",
    "{token}",
    "Tokens by layer (`operation_type`); `workflow` includes its `node_execution`: never add both",
)
TOKENS_INPUT = Instrument("dify.tokens.input", "counter", "{token}", "Input tokens by layer")
TOKENS_OUTPUT = Instrument("dify.tokens.output", "counter", "{token}", "Output tokens by layer")
WORKFLOW_DURATION = Instrument(
    "dify.workflow.duration", "histogram", "s", "Duration of runs", _RUN_BUCKETS
)
PAUSES = Instrument(
    "dify.workflow.pauses.total", "counter", "{pause}", "Runs left to wait for a person"
)
NODE_DURATION_METRIC = Instrument(
    "dify.node.duration", "histogram", "s", "Duration of node executions", _NODE_BUCKETS
)
NODE_RETRY_COUNT = Instrument(
    "dify.node.retries", "counter", "{retry}", "Attempts of nodes beyond the first"
)
TOOL_DURATION_METRIC = Instrument(
    "dify.tool.duration", "histogram", "s", "Duration of tool calls", _NODE_BUCKETS
)
MESSAGE_DURATION_METRIC = Instrument(
    "dify.message.duration", "histogram", "s", "Duration of messages", _RUN_BUCKETS
)
MESSAGE_FIRST_TOKEN_METRIC = Instrument(
    "dify.message.time_to_first_token",
    "histogram",
    "s",
    "Time to the first token of messages",
    _FIRST_CHUNK_BUCKETS,
)
GENERATION_DURATION_METRIC = Instrument(
    "dify.prompt_generation.duration",
    "histogram",
    "s",
    "Duration of what models are asked besides running apps",
    _NODE_BUCKETS,
)
RETRIEVAL_DURATION_METRIC = Instrument(
    "dify.retrieval.duration", "histogram", "s", "Duration of retrievals", _NODE_BUCKETS
)
RETRIEVALS = Instrument(
    "dify.dataset.retrievals.total", "counter", "{retrieval}", "Retrievals, by data set"
)
FEEDBACKS = Instrument("dify.feedback.total", "counter", "{feedback}", "Feedback on answers")
ANNOTATION_HITS = Instrument(
    "dify.annotation.hits.total", "counter", "{hit}", "Answers given by annotations"
)
CONVERSATIONS = Instrument(
    "dify.conversations.total", "counter", "{conversation}", "Conversations begun"
)
APPS_CREATED = Instrument("dify.app.created.total", "counter", "{app}", "Apps created")
APPS_UPDATED = Instrument("dify.app.updated.total", "counter", "{app}", "Apps changed")
APPS_DELETED = Instrument("dify.app.deleted.total", "counter", "{app}", "Apps deleted")
DATASETS_CREATED = Instrument(
    "dify.dataset.created.total", "counter", "{dataset}", "Data sets created"
)
DATASETS_DELETED = Instrument(
    "dify.dataset.deleted.total", "counter", "{dataset}", "Data sets deleted"
)
INDEXING_DURATION_METRIC = Instrument(
    "dify.indexing.duration", "histogram", "s", "Duration of indexing, by phase", _RUN_BUCKETS
)
STORAGE_DURATION_METRIC = Instrument(
    "dify.storage.duration", "histogram", "s", "Duration of operations on files", _DB_BUCKETS
)
MAILS = Instrument("dify.mail.sent.total", "counter", "{mail}", "Mails sent")
TRIGGERS = Instrument("dify.trigger.total", "counter", "{trigger}", "Workflows started outside")
CUSTOM_DURATION_METRIC = Instrument(
    "dify.custom.duration",
    "histogram",
    "s",
    "Duration of what `otel_dify.observe` is put around",
    _NODE_BUCKETS,
)
TOKEN_USAGE = Instrument(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "Tokens of each model call, counted where the model is called: every token once",
    _TOKEN_BUCKETS,
)
OPERATION_DURATION = Instrument(
    "gen_ai.client.operation.duration", "histogram", "s", "Duration of model calls", _MODEL_BUCKETS
)
TIME_TO_FIRST_CHUNK = Instrument(
    "gen_ai.client.operation.time_to_first_chunk",
    "histogram",
    "s",
    "Time to the first chunk of streamed model calls",
    _FIRST_CHUNK_BUCKETS,
)
COST = Instrument("dify.model.cost", "counter", "{currency}", "Price of model calls, by currency")
SERVER_DURATION = Instrument(
    "http.server.request.duration",
    "histogram",
    "s",
    "Duration of requests to Dify, streams to their end",
    _HTTP_BUCKETS,
)
CLIENT_DURATION = Instrument(
    "http.client.request.duration", "histogram", "s", "Duration of HTTP calls", _HTTP_BUCKETS
)
DB_DURATION = Instrument(
    "db.client.operation.duration", "histogram", "s", "Duration of queries", _DB_BUCKETS
)
SENT_MESSAGES = Instrument(
    "messaging.client.sent.messages", "counter", "{message}", "Tasks handed to the broker"
)
PROCESS_DURATION = Instrument(
    "messaging.process.duration", "histogram", "s", "Duration of tasks", _NODE_BUCKETS
)
QUEUE_WAIT_METRIC = Instrument(
    "dify.task.queue_wait", "histogram", "s", "Time between sending and running", _NODE_BUCKETS
)

QUEUE_SIZE = Instrument(
    "dify.task.queue.size",
    "gauge",
    "{task}",
    "Tasks waiting in a queue of Celery, by `queue_name`. Workers of several hosts report the "
    "same queues: take the maximum",
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
    _DB_BUCKETS,
)
ACTIVE_CONVERSATIONS = Instrument(
    "dify.active.conversations",
    "gauge",
    "{conversation}",
    "Conversations with a message in the last five minutes, by `app_id`",
)
ACTIVE_SESSIONS = Instrument(
    "dify.active.sessions", "gauge", "{user}", "Users with a message in the last five minutes"
)

WORKERS = Instrument(
    "dify.workers",
    "gauge",
    "{process}",
    "1 for each process of Dify that records, told apart by its resource: sum or count them",
)
HOOK_FAILURES = Instrument(
    "otel_dify.hook.failures",
    "gauge",
    "{failure}",
    "Failures of otel_dify's own hooks in this process, by `place` and `error_type`",
)
ITEMS_LOST = Instrument(
    "otel_dify.export.lost",
    "gauge",
    "{item}",
    "Spans, log records and metrics that this process could not deliver, by `signal`",
)

INSTRUMENTS: tuple[Instrument, ...] = (
    HOOK_FAILURES,
    ITEMS_LOST,
    QUEUE_SIZE,
    CONNECTIONS_ACTIVE,
    CONNECTIONS_MAX,
    CONNECTION_WAIT,
    ACTIVE_CONVERSATIONS,
    ACTIVE_SESSIONS,
    WORKERS,
    REQUESTS,
    ERRORS,
    TOKENS_TOTAL,
    TOKENS_INPUT,
    TOKENS_OUTPUT,
    WORKFLOW_DURATION,
    PAUSES,
    NODE_DURATION_METRIC,
    NODE_RETRY_COUNT,
    TOOL_DURATION_METRIC,
    MESSAGE_DURATION_METRIC,
    MESSAGE_FIRST_TOKEN_METRIC,
    GENERATION_DURATION_METRIC,
    RETRIEVAL_DURATION_METRIC,
    RETRIEVALS,
    FEEDBACKS,
    ANNOTATION_HITS,
    CONVERSATIONS,
    APPS_CREATED,
    APPS_UPDATED,
    APPS_DELETED,
    DATASETS_CREATED,
    DATASETS_DELETED,
    INDEXING_DURATION_METRIC,
    STORAGE_DURATION_METRIC,
    MAILS,
    TRIGGERS,
    CUSTOM_DURATION_METRIC,
    TOKEN_USAGE,
    OPERATION_DURATION,
    TIME_TO_FIRST_CHUNK,
    COST,
    SERVER_DURATION,
    CLIENT_DURATION,
    DB_DURATION,
    SENT_MESSAGES,
    PROCESS_DURATION,
    QUEUE_WAIT_METRIC,
)
