"""Recordings: which metric points an ended operation makes, and with which labels.

Labels of ``dify.*`` metrics are those of Dify Enterprise's data dictionary (plain ``tenant_id``,
``app_id``, ``status``); ``gen_ai.*``, ``http.*``, ``db.*`` and ``messaging.*`` metrics have the
attributes that OpenTelemetry's conventions give them, with tenant and app added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from otel_dify.operations import attributes as a
from otel_dify.operations import instruments as i
from otel_dify.operations.attributes import Attribute
from otel_dify.operations.instruments import Instrument


class Value(Enum):
    """What an operation records, besides the value of an attribute."""

    ONE = auto()
    DURATION = auto()


class When(Enum):
    """Which operations record.

    A run that waits for a person is two operations, one of which ended with a pause.
    """

    ENDED = auto()
    FAILED = auto()
    PAUSED = auto()
    NOT_PAUSED = auto()


@dataclass(frozen=True, slots=True)
class Recording:
    """A metric point that an operation makes when it ends.

    Attributes:
        instrument: where it is recorded.
        value: one, the duration in seconds, or the value of an attribute (none: no point).
        labels: label name to the attribute it is taken from; absent values make no label.
        constants: labels that are the same for every operation of the kind.
        when: for which operations.
    """

    instrument: Instrument
    value: Value | Attribute
    labels: tuple[tuple[str, Attribute], ...]
    constants: tuple[tuple[str, str], ...] = field(default=())
    when: When = When.ENDED


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

_STATUS_OF_RUN = ("status", a.RUN_STATUS)
_INVOKED = ("invoke_from", a.INVOKE_FROM)
_AS_RUN = (("operation_type", "workflow"),)
_AS_NODE = (("operation_type", "node_execution"),)

RUN_REQUESTS = Recording(
    i.REQUESTS,
    Value.ONE,
    (*_WORKFLOW, _STATUS_OF_RUN, _INVOKED),
    (("type", "workflow"),),
    When.NOT_PAUSED,
)
RUN_PAUSES = Recording(i.PAUSES, Value.ONE, _WORKFLOW, (), When.PAUSED)
RUN_ERRORS = Recording(
    i.ERRORS, Value.ONE, (*_WORKFLOW, _CATEGORY), (("type", "workflow"),), When.FAILED
)
RUN_DURATION = Recording(i.WORKFLOW_DURATION, Value.DURATION, (*_WORKFLOW, _STATUS_OF_RUN))
RUN_TOKENS_TOTAL = Recording(i.TOKENS_TOTAL, a.TOTAL_TOKENS, _OWNER, _AS_RUN)
RUN_TOKENS_INPUT = Recording(i.TOKENS_INPUT, a.INPUT_TOKENS_BELOW, _OWNER, _AS_RUN)
RUN_TOKENS_OUTPUT = Recording(i.TOKENS_OUTPUT, a.OUTPUT_TOKENS_BELOW, _OWNER, _AS_RUN)

NODE_REQUESTS = Recording(
    i.REQUESTS,
    Value.ONE,
    (*_NODE, ("status", a.NODE_STATUS)),
    (("type", "node"),),
    When.NOT_PAUSED,
)
NODE_ERRORS = Recording(i.ERRORS, Value.ONE, (*_NODE, _CATEGORY), (("type", "node"),), When.FAILED)
NODE_DURATION = Recording(i.NODE_DURATION_METRIC, Value.DURATION, _NODE)
NODE_RETRIES = Recording(i.NODE_RETRY_COUNT, a.NODE_RETRIES, _NODE)
NODE_TOKENS_TOTAL = Recording(i.TOKENS_TOTAL, a.TOTAL_TOKENS, _NODE, _AS_NODE)
NODE_TOKENS_INPUT = Recording(i.TOKENS_INPUT, a.INPUT_TOKENS_BELOW, _NODE, _AS_NODE)
NODE_TOKENS_OUTPUT = Recording(i.TOKENS_OUTPUT, a.OUTPUT_TOKENS_BELOW, _NODE, _AS_NODE)

DRAFT_NODE_REQUESTS = Recording(
    i.REQUESTS, Value.ONE, (*_NODE, ("status", a.NODE_STATUS)), (("type", "draft_node"),)
)
DRAFT_NODE_ERRORS = Recording(
    i.ERRORS, Value.ONE, (*_NODE, _CATEGORY), (("type", "draft_node"),), When.FAILED
)

MODEL_INPUT_TOKENS = Recording(
    i.TOKEN_USAGE, a.INPUT_TOKENS, _GEN_AI, (("gen_ai.token.type", "input"),)
)
MODEL_OUTPUT_TOKENS = Recording(
    i.TOKEN_USAGE, a.OUTPUT_TOKENS, _GEN_AI, (("gen_ai.token.type", "output"),)
)
MODEL_DURATION = Recording(i.OPERATION_DURATION, Value.DURATION, (*_GEN_AI, _FAILURE))
MODEL_FIRST_CHUNK = Recording(i.TIME_TO_FIRST_CHUNK, a.FIRST_TOKEN, _GEN_AI)
MODEL_COST = Recording(i.COST, a.CALL_PRICE, (*_GEN_AI, ("currency", a.CALL_CURRENCY)))

TOOL_REQUESTS = Recording(
    i.REQUESTS, Value.ONE, (*_TOOL, ("status", a.TOOL_STATUS)), (("type", "tool"),)
)
TOOL_ERRORS = Recording(i.ERRORS, Value.ONE, (*_TOOL, _CATEGORY), (("type", "tool"),), When.FAILED)
TOOL_DURATION = Recording(i.TOOL_DURATION_METRIC, Value.DURATION, _TOOL)

_MESSAGE = (*_OWNER, *_MODEL)
MESSAGE_REQUESTS = Recording(
    i.REQUESTS,
    Value.ONE,
    (*_MESSAGE, ("status", a.MESSAGE_STATUS), _INVOKED, ("mode", a.APP_MODE)),
    (("type", "message"),),
    When.NOT_PAUSED,
)
MESSAGE_ERRORS = Recording(
    i.ERRORS, Value.ONE, (*_MESSAGE, _CATEGORY), (("type", "message"),), When.FAILED
)
MESSAGE_DURATION = Recording(
    i.MESSAGE_DURATION_METRIC, Value.DURATION, (*_MESSAGE, ("stream", a.STREAM))
)
MESSAGE_FIRST_TOKEN = Recording(i.MESSAGE_FIRST_TOKEN_METRIC, a.MESSAGE_FIRST_TOKEN, _MESSAGE)

_DATASET = (
    *_OWNER,
    ("source", a.RETRIEVAL_SOURCE),
    ("dataset_id", a.DATASET_ID),
    ("method", a.RETRIEVAL_METHOD),
    ("rerank_model_provider", a.RERANK_PROVIDER),
    ("rerank_model", a.RERANK_MODEL),
)
RETRIEVAL_REQUESTS = Recording(
    i.REQUESTS,
    Value.ONE,
    (*_OWNER, ("source", a.RETRIEVAL_SOURCE), ("status", a.RETRIEVAL_STATUS)),
    (("type", "dataset_retrieval"),),
)
RETRIEVAL_ERRORS = Recording(
    i.ERRORS,
    Value.ONE,
    (*_OWNER, ("source", a.RETRIEVAL_SOURCE), _CATEGORY),
    (("type", "dataset_retrieval"),),
    When.FAILED,
)
DATASET_RETRIEVALS = Recording(i.RETRIEVALS, Value.ONE, _DATASET)
RETRIEVAL_DURATION = Recording(i.RETRIEVAL_DURATION_METRIC, Value.DURATION, _DATASET)

MODERATION_REQUESTS = Recording(
    i.REQUESTS,
    Value.ONE,
    (*_OWNER, ("moderation_type", a.MODERATION_TYPE), ("flagged", a.MODERATION_FLAGGED)),
    (("type", "moderation"),),
)
_GENERATION = (*_OWNER, ("operation_type", a.OPERATION_TYPE))
GENERATION_REQUESTS = Recording(
    i.REQUESTS,
    Value.ONE,
    (*_GENERATION, ("status", a.GENERATION_STATUS)),
    (("type", "prompt_generation"),),
)
GENERATION_ERRORS = Recording(
    i.ERRORS, Value.ONE, (*_GENERATION, _CATEGORY), (("type", "prompt_generation"),), When.FAILED
)
GENERATION_DURATION = Recording(i.GENERATION_DURATION_METRIC, Value.DURATION, _GENERATION)

FEEDBACK_GIVEN = Recording(i.FEEDBACKS, Value.ONE, (*_OWNER, ("rating", a.FEEDBACK_RATING)))
ANNOTATION_USED = Recording(i.ANNOTATION_HITS, Value.ONE, _OWNER)
_APP_MODE = (*_OWNER, ("mode", a.APP_MODE))
CONVERSATION_WAS_CREATED = Recording(i.CONVERSATIONS, Value.ONE, _APP_MODE)
APP_WAS_CREATED = Recording(i.APPS_CREATED, Value.ONE, _APP_MODE)
APP_WAS_UPDATED = Recording(i.APPS_UPDATED, Value.ONE, _OWNER)
APP_WAS_DELETED = Recording(i.APPS_DELETED, Value.ONE, _OWNER)
_TENANT = (("tenant_id", a.TENANT_ID),)
DATASET_WAS_CREATED = Recording(i.DATASETS_CREATED, Value.ONE, _TENANT)
DATASET_WAS_DELETED = Recording(i.DATASETS_DELETED, Value.ONE, _TENANT)
_INDEXING = (*_TENANT, ("dataset_id", a.DATASET_ID))
INDEXING_DURATION = Recording(
    i.INDEXING_DURATION_METRIC,
    Value.DURATION,
    (*_INDEXING, ("phase", a.INDEXING_PHASE), ("status", a.INDEXING_STATUS)),
)
INDEXING_ERRORS = Recording(
    i.ERRORS, Value.ONE, (*_INDEXING, _CATEGORY), (("type", "document"),), When.FAILED
)
STORAGE_DURATION = Recording(
    i.STORAGE_DURATION_METRIC,
    Value.DURATION,
    (("operation", a.STORAGE_OPERATION), ("storage", a.STORAGE_TYPE), _FAILURE),
)
MAIL_SENT = Recording(i.MAILS, Value.ONE, (_FAILURE,))
TRIGGERED = Recording(i.TRIGGERS, Value.ONE, (*_OWNER, ("trigger", a.TRIGGER_TYPE), _FAILURE))

_CUSTOM = (*_OWNER, ("name", a.CUSTOM_NAME), ("status", a.CUSTOM_STATUS))
CUSTOM_REQUESTS = Recording(i.REQUESTS, Value.ONE, _CUSTOM, (("type", "custom"),))
CUSTOM_DURATION = Recording(i.CUSTOM_DURATION_METRIC, Value.DURATION, _CUSTOM)

HTTP_SERVER_DURATION = Recording(
    i.SERVER_DURATION,
    Value.DURATION,
    (
        (a.HTTP_METHOD.key, a.HTTP_METHOD),
        (a.HTTP_ROUTE.key, a.HTTP_ROUTE),
        (a.HTTP_STATUS.key, a.HTTP_STATUS),
        _FAILURE,
    ),
)
HTTP_CLIENT_DURATION = Recording(
    i.CLIENT_DURATION,
    Value.DURATION,
    (
        (a.HTTP_METHOD.key, a.HTTP_METHOD),
        (a.SERVER_ADDRESS.key, a.SERVER_ADDRESS),
        (a.SERVER_PORT.key, a.SERVER_PORT),
        (a.HTTP_STATUS.key, a.HTTP_STATUS),
        _FAILURE,
    ),
)
CHECKOUT_WAIT = Recording(i.CONNECTION_WAIT, Value.DURATION, (_FAILURE,))
QUERY_DURATION = Recording(
    i.DB_DURATION,
    Value.DURATION,
    (
        (a.DB_SYSTEM.key, a.DB_SYSTEM),
        (a.DB_NAMESPACE.key, a.DB_NAMESPACE),
        (a.DB_OPERATION.key, a.DB_OPERATION),
        _FAILURE,
    ),
)
MESSAGES_SENT = Recording(i.SENT_MESSAGES, Value.ONE, (*_TASK, _FAILURE))
TASK_DURATION = Recording(
    i.PROCESS_DURATION, Value.DURATION, (*_TASK, (a.TASK_STATE.key, a.TASK_STATE), _FAILURE)
)
TASK_QUEUE_WAIT = Recording(i.QUEUE_WAIT_METRIC, a.QUEUE_WAIT, _TASK)
