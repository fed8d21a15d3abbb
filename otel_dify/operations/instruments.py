"""Metrics: the instruments, their buckets, and what an ended operation records on them.

Labels of ``dify.*`` metrics are those of Dify Enterprise's data dictionary (plain ``tenant_id``,
``app_id``, ``status``); ``gen_ai.*``, ``http.*``, ``db.*`` and ``messaging.*`` metrics have the
attributes that OpenTelemetry's conventions give them, with tenant and app added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from otel_dify.operations import attributes as a
from otel_dify.operations.attributes import Attribute


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


class Value(Enum):
    """What an operation records, besides the value of an attribute."""

    ONE = auto()
    DURATION = auto()


class When(Enum):
    """Which operations record."""

    ENDED = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Recording:
    """A metric point that an operation makes when it ends.

    Attributes:
        instrument: where it is recorded.
        value: one, the duration in seconds, or the value of an attribute (none: no point).
        labels: label name to the attribute it is taken from; absent values make no label.
        constants: labels that are the same for every operation of the kind.
        when: for all operations or for failed ones.
    """

    instrument: Instrument
    value: Value | Attribute
    labels: tuple[tuple[str, Attribute], ...]
    constants: tuple[tuple[str, str], ...] = field(default=())
    when: When = When.ENDED


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

_OWNER = (("tenant_id", a.TENANT_ID), ("app_id", a.APP_ID))
_WORKFLOW = (*_OWNER, ("workflow_id", a.WORKFLOW_ID))
_MODEL = (("model_provider", a.DIFY_PROVIDER), ("model_name", a.REQUEST_MODEL))
_NODE = (*_OWNER, ("node_type", a.NODE_TYPE), *_MODEL)
_TOOL = (*_OWNER, ("tool_name", a.TOOL_NAME))
_GEN_AI = (
    (a.OPERATION_NAME.key, a.OPERATION_NAME),
    (a.PROVIDER.key, a.PROVIDER),
    (a.REQUEST_MODEL.key, a.REQUEST_MODEL),
    (a.RESPONSE_MODEL.key, a.RESPONSE_MODEL),
    *_OWNER,
    ("node_type", a.NODE_TYPE),
    ("operation_type", a.OPERATION_TYPE),
    (a.DIFY_PROVIDER.key, a.DIFY_PROVIDER),
)
_FAILURE = (a.ERROR_TYPE.key, a.ERROR_TYPE)
_CATEGORY = ("error_category", a.ERROR_CATEGORY)
_TASK = (
    (a.MESSAGING_SYSTEM.key, a.MESSAGING_SYSTEM),
    (a.DESTINATION.key, a.DESTINATION),
    (a.TASK_NAME.key, a.TASK_NAME),
)

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

INSTRUMENTS: tuple[Instrument, ...] = (
    QUEUE_SIZE,
    CONNECTIONS_ACTIVE,
    CONNECTIONS_MAX,
    CONNECTION_WAIT,
    ACTIVE_CONVERSATIONS,
    ACTIVE_SESSIONS,
    REQUESTS,
    ERRORS,
    TOKENS_TOTAL,
    TOKENS_INPUT,
    TOKENS_OUTPUT,
    WORKFLOW_DURATION,
    NODE_DURATION_METRIC,
    NODE_RETRY_COUNT,
    TOOL_DURATION_METRIC,
    MESSAGE_DURATION_METRIC,
    MESSAGE_FIRST_TOKEN_METRIC,
    GENERATION_DURATION_METRIC,
    RETRIEVAL_DURATION_METRIC,
    RETRIEVALS,
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

_STATUS_OF_RUN = ("status", a.RUN_STATUS)
_INVOKED = ("invoke_from", a.INVOKE_FROM)
_AS_RUN = (("operation_type", "workflow"),)
_AS_NODE = (("operation_type", "node_execution"),)

RUN_REQUESTS = Recording(
    REQUESTS, Value.ONE, (*_WORKFLOW, _STATUS_OF_RUN, _INVOKED), (("type", "workflow"),)
)
RUN_ERRORS = Recording(
    ERRORS, Value.ONE, (*_WORKFLOW, _CATEGORY), (("type", "workflow"),), When.FAILED
)
RUN_DURATION = Recording(WORKFLOW_DURATION, Value.DURATION, (*_WORKFLOW, _STATUS_OF_RUN))
RUN_TOKENS_TOTAL = Recording(TOKENS_TOTAL, a.TOTAL_TOKENS, _OWNER, _AS_RUN)
RUN_TOKENS_INPUT = Recording(TOKENS_INPUT, a.INPUT_TOKENS_BELOW, _OWNER, _AS_RUN)
RUN_TOKENS_OUTPUT = Recording(TOKENS_OUTPUT, a.OUTPUT_TOKENS_BELOW, _OWNER, _AS_RUN)

NODE_REQUESTS = Recording(
    REQUESTS, Value.ONE, (*_NODE, ("status", a.NODE_STATUS)), (("type", "node"),)
)
NODE_ERRORS = Recording(ERRORS, Value.ONE, (*_NODE, _CATEGORY), (("type", "node"),), When.FAILED)
NODE_DURATION = Recording(NODE_DURATION_METRIC, Value.DURATION, _NODE)
NODE_RETRIES = Recording(NODE_RETRY_COUNT, a.NODE_RETRIES, _NODE)
NODE_TOKENS_TOTAL = Recording(TOKENS_TOTAL, a.TOTAL_TOKENS, _NODE, _AS_NODE)
NODE_TOKENS_INPUT = Recording(TOKENS_INPUT, a.INPUT_TOKENS_BELOW, _NODE, _AS_NODE)
NODE_TOKENS_OUTPUT = Recording(TOKENS_OUTPUT, a.OUTPUT_TOKENS_BELOW, _NODE, _AS_NODE)

DRAFT_NODE_REQUESTS = Recording(
    REQUESTS, Value.ONE, (*_NODE, ("status", a.NODE_STATUS)), (("type", "draft_node"),)
)
DRAFT_NODE_ERRORS = Recording(
    ERRORS, Value.ONE, (*_NODE, _CATEGORY), (("type", "draft_node"),), When.FAILED
)

MODEL_INPUT_TOKENS = Recording(
    TOKEN_USAGE, a.INPUT_TOKENS, _GEN_AI, (("gen_ai.token.type", "input"),)
)
MODEL_OUTPUT_TOKENS = Recording(
    TOKEN_USAGE, a.OUTPUT_TOKENS, _GEN_AI, (("gen_ai.token.type", "output"),)
)
MODEL_DURATION = Recording(OPERATION_DURATION, Value.DURATION, (*_GEN_AI, _FAILURE))
MODEL_FIRST_CHUNK = Recording(TIME_TO_FIRST_CHUNK, a.FIRST_TOKEN, _GEN_AI)
MODEL_COST = Recording(COST, a.CALL_PRICE, (*_GEN_AI, ("currency", a.CALL_CURRENCY)))

TOOL_REQUESTS = Recording(
    REQUESTS, Value.ONE, (*_TOOL, ("status", a.TOOL_STATUS)), (("type", "tool"),)
)
TOOL_ERRORS = Recording(ERRORS, Value.ONE, (*_TOOL, _CATEGORY), (("type", "tool"),), When.FAILED)
TOOL_DURATION = Recording(TOOL_DURATION_METRIC, Value.DURATION, _TOOL)

_MESSAGE = (*_OWNER, *_MODEL)
MESSAGE_REQUESTS = Recording(
    REQUESTS,
    Value.ONE,
    (*_MESSAGE, ("status", a.MESSAGE_STATUS), _INVOKED, ("mode", a.APP_MODE)),
    (("type", "message"),),
)
MESSAGE_ERRORS = Recording(
    ERRORS, Value.ONE, (*_MESSAGE, _CATEGORY), (("type", "message"),), When.FAILED
)
MESSAGE_DURATION = Recording(
    MESSAGE_DURATION_METRIC, Value.DURATION, (*_MESSAGE, ("stream", a.STREAM))
)
MESSAGE_FIRST_TOKEN = Recording(MESSAGE_FIRST_TOKEN_METRIC, a.MESSAGE_FIRST_TOKEN, _MESSAGE)

_DATASET = (
    *_OWNER,
    ("source", a.RETRIEVAL_SOURCE),
    ("dataset_id", a.DATASET_ID),
    ("method", a.RETRIEVAL_METHOD),
    ("rerank_model_provider", a.RERANK_PROVIDER),
    ("rerank_model", a.RERANK_MODEL),
)
RETRIEVAL_REQUESTS = Recording(
    REQUESTS,
    Value.ONE,
    (*_OWNER, ("source", a.RETRIEVAL_SOURCE), ("status", a.RETRIEVAL_STATUS)),
    (("type", "dataset_retrieval"),),
)
RETRIEVAL_ERRORS = Recording(
    ERRORS,
    Value.ONE,
    (*_OWNER, ("source", a.RETRIEVAL_SOURCE), _CATEGORY),
    (("type", "dataset_retrieval"),),
    When.FAILED,
)
DATASET_RETRIEVALS = Recording(RETRIEVALS, Value.ONE, _DATASET)
RETRIEVAL_DURATION = Recording(RETRIEVAL_DURATION_METRIC, Value.DURATION, _DATASET)

MODERATION_REQUESTS = Recording(
    REQUESTS,
    Value.ONE,
    (*_OWNER, ("moderation_type", a.MODERATION_TYPE), ("flagged", a.MODERATION_FLAGGED)),
    (("type", "moderation"),),
)
_GENERATION = (*_OWNER, ("operation_type", a.OPERATION_TYPE))
GENERATION_REQUESTS = Recording(
    REQUESTS,
    Value.ONE,
    (*_GENERATION, ("status", a.GENERATION_STATUS)),
    (("type", "prompt_generation"),),
)
GENERATION_ERRORS = Recording(
    ERRORS, Value.ONE, (*_GENERATION, _CATEGORY), (("type", "prompt_generation"),), When.FAILED
)
GENERATION_DURATION = Recording(GENERATION_DURATION_METRIC, Value.DURATION, _GENERATION)

_CUSTOM = (*_OWNER, ("name", a.CUSTOM_NAME), ("status", a.CUSTOM_STATUS))
CUSTOM_REQUESTS = Recording(REQUESTS, Value.ONE, _CUSTOM, (("type", "custom"),))
CUSTOM_DURATION = Recording(CUSTOM_DURATION_METRIC, Value.DURATION, _CUSTOM)

HTTP_SERVER_DURATION = Recording(
    SERVER_DURATION,
    Value.DURATION,
    (
        (a.HTTP_METHOD.key, a.HTTP_METHOD),
        (a.HTTP_ROUTE.key, a.HTTP_ROUTE),
        (a.HTTP_STATUS.key, a.HTTP_STATUS),
        _FAILURE,
    ),
)
HTTP_CLIENT_DURATION = Recording(
    CLIENT_DURATION,
    Value.DURATION,
    (
        (a.HTTP_METHOD.key, a.HTTP_METHOD),
        (a.SERVER_ADDRESS.key, a.SERVER_ADDRESS),
        (a.SERVER_PORT.key, a.SERVER_PORT),
        (a.HTTP_STATUS.key, a.HTTP_STATUS),
        _FAILURE,
    ),
)
CHECKOUT_WAIT = Recording(CONNECTION_WAIT, Value.DURATION, (_FAILURE,))
QUERY_DURATION = Recording(
    DB_DURATION,
    Value.DURATION,
    (
        (a.DB_SYSTEM.key, a.DB_SYSTEM),
        (a.DB_NAMESPACE.key, a.DB_NAMESPACE),
        (a.DB_OPERATION.key, a.DB_OPERATION),
        _FAILURE,
    ),
)
MESSAGES_SENT = Recording(SENT_MESSAGES, Value.ONE, (*_TASK, _FAILURE))
TASK_DURATION = Recording(
    PROCESS_DURATION, Value.DURATION, (*_TASK, (a.TASK_STATE.key, a.TASK_STATE), _FAILURE)
)
TASK_QUEUE_WAIT = Recording(QUEUE_WAIT_METRIC, a.QUEUE_WAIT, _TASK)
