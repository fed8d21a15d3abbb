"""Messages of apps, and the agents that answer them."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import APP_MODE, CATEGORY, ERRORS, INVOKED, OWNER, REQUESTS
from otel_dify.table.instrument import (
    FIRST_CHUNK_BUCKETS,
    RUN_BUCKETS,
    Amount,
    Instrument,
    Recording,
    When,
)
from otel_dify.table.kind import Kind
from otel_dify.table.models import (
    DIFY_PROVIDER,
    MODEL_LABELS,
    OPERATION_NAME,
    REQUEST_MODEL,
    STREAM,
)
from otel_dify.table.queries import FOLDED

# Message and agent.
MESSAGE_STATUS = define(
    "dify.message.status",
    "string",
    "`succeeded`, `failed`, `stopped` or `paused`; on a request or task that of the message that "
    "it serves",
)
MESSAGE_ERROR = define(
    "dify.message.error", "string", "Why the message failed", text=16_384, quotes=True
)
MESSAGE_FIRST_TOKEN = define(
    "dify.message.time_to_first_token", "double", "Seconds to the first token of the answer"
)
MESSAGE_INPUTS = define("dify.message.inputs", "string", "Inputs and query, JSON", content=True)
AGENT_STRATEGY = define("dify.agent.strategy", "string", "`function_call` or `cot`")
AGENT_ROUNDS = define("dify.agent.rounds", "int", "Rounds of thought")
AGENT_THOUGHT_ID = define("dify.agent.thought_id", "string", "Row of the thought")
AGENT_QUERY = define("dify.agent.query", "string", "What the agent was asked", content=True)
MESSAGE_DURATION_METRIC = Instrument(
    "dify.message.duration", "histogram", "s", "Duration of messages", RUN_BUCKETS
)
MESSAGE_FIRST_TOKEN_METRIC = Instrument(
    "dify.message.time_to_first_token",
    "histogram",
    "s",
    "Time to the first token of messages",
    FIRST_CHUNK_BUCKETS,
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
_MESSAGE = (*OWNER, *MODEL_LABELS)
MESSAGE = Kind(
    name="message",
    doc="A message of a chat, completion, agent or chatflow app, until its answer is published.",
    span_name="message {dify.app.mode}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task"),
    attributes=(
        MESSAGE_STATUS,
        MESSAGE_ERROR,
        MESSAGE_FIRST_TOKEN,
        STREAM,
        DIFY_PROVIDER,
        REQUEST_MODEL,
        MESSAGE_INPUTS,
        *FOLDED,
    ),
    recordings=(
        Recording(
            REQUESTS,
            Amount.ONE,
            (*_MESSAGE, ("status", MESSAGE_STATUS), INVOKED, ("mode", APP_MODE)),
            (("type", "message"),),
            When.NOT_PAUSED,
        ),
        Recording(ERRORS, Amount.ONE, (*_MESSAGE, CATEGORY), (("type", "message"),), When.FAILED),
        Recording(MESSAGE_DURATION_METRIC, Amount.DURATION, (*_MESSAGE, ("stream", STREAM))),
        Recording(MESSAGE_FIRST_TOKEN_METRIC, MESSAGE_FIRST_TOKEN, _MESSAGE),
    ),
    status=MESSAGE_STATUS,
    event="dify.message.run",
    subject="message {dify.message.id}",
    hoists=True,
)
AGENT = Kind(
    name="agent",
    doc="A run of an agent of an agent app; each of its thoughts is a span event.",
    span_name="invoke_agent {gen_ai.request.model}",
    span_kind=SpanKind.INTERNAL,
    below=("message",),
    attributes=(
        OPERATION_NAME,
        AGENT_STRATEGY,
        AGENT_ROUNDS,
        DIFY_PROVIDER,
        REQUEST_MODEL,
        AGENT_QUERY,
        *FOLDED,
    ),
)
