"""The table of kinds, second half: what Dify makes of engine and models."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.operations import attributes as a
from otel_dify.operations import recordings as r
from otel_dify.operations.attributes import Attribute
from otel_dify.operations.kind import FOLDED, Kind
from otel_dify.operations.recordings import Recording

MESSAGE = Kind(
    name="message",
    doc="A message of a chat, completion, agent or chatflow app, until its answer is published.",
    span_name="message {dify.app.mode}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task"),
    attributes=(
        a.MESSAGE_STATUS,
        a.MESSAGE_ERROR,
        a.MESSAGE_FIRST_TOKEN,
        a.STREAM,
        a.DIFY_PROVIDER,
        a.REQUEST_MODEL,
        a.MESSAGE_INPUTS,
        *FOLDED,
    ),
    recordings=(
        r.MESSAGE_REQUESTS,
        r.MESSAGE_ERRORS,
        r.MESSAGE_DURATION,
        r.MESSAGE_FIRST_TOKEN,
    ),
    status=a.MESSAGE_STATUS,
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
        a.OPERATION_NAME,
        a.AGENT_STRATEGY,
        a.AGENT_ROUNDS,
        a.DIFY_PROVIDER,
        a.REQUEST_MODEL,
        a.AGENT_QUERY,
        *FOLDED,
    ),
)
RETRIEVAL = Kind(
    name="retrieval",
    doc="A retrieval: from all data sets of an app or node, and in it from each of them.",
    span_name="retrieval {dify.retrieval.source}",
    span_kind=SpanKind.INTERNAL,
    below=("node", "message", "tool call", "request", "retrieval"),
    attributes=(
        a.OPERATION_NAME,
        a.RETRIEVAL_SOURCE,
        a.RETRIEVAL_METHOD,
        a.RETRIEVAL_TOP_K,
        a.RETRIEVAL_STATUS,
        a.DATASET_ID,
        a.DATASET_IDS,
        a.RERANK_PROVIDER,
        a.RERANK_MODEL,
        a.DOCUMENT_COUNT,
        a.TOP_SCORE,
        a.RETRIEVAL_QUERY,
        a.DOCUMENTS,
        *FOLDED,
    ),
    recordings=(
        r.RETRIEVAL_REQUESTS,
        r.RETRIEVAL_ERRORS,
        r.DATASET_RETRIEVALS,
        r.RETRIEVAL_DURATION,
    ),
    status=a.RETRIEVAL_STATUS,
    event="dify.dataset.retrieval",
    subject="retrieval from {dify.retrieval.source}",
)
SEARCH = Kind(
    name="search",
    doc="A search of one data set by one method: keyword, vector or full text.",
    span_name="search {dify.retrieval.method}",
    span_kind=SpanKind.INTERNAL,
    below=("retrieval",),
    attributes=(
        a.RETRIEVAL_METHOD,
        a.RETRIEVAL_TOP_K,
        a.DATASET_ID,
        a.DOCUMENT_COUNT,
        a.TOP_SCORE,
        a.RETRIEVAL_QUERY,
        a.DOCUMENTS,
        *FOLDED,
    ),
)
MODERATION = Kind(
    name="moderation",
    doc="A check of what a user asked or a model answered.",
    span_name="moderation {dify.moderation.type}",
    span_kind=SpanKind.INTERNAL,
    below=("message", "request", "task"),
    attributes=(
        a.MODERATION_TYPE,
        a.MODERATION_PROVIDER,
        a.MODERATION_FLAGGED,
        a.MODERATION_ACTION,
        a.MODERATION_QUERY,
        *FOLDED,
    ),
    recordings=(r.MODERATION_REQUESTS,),
    event="dify.moderation.check",
    subject="moderation of {dify.moderation.type}",
)
GENERATION = Kind(
    name="generation",
    doc="What Dify asks a model besides running apps: names, questions, prompts, code.",
    span_name="generate {dify.operation_type}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "message"),
    attributes=(a.GENERATION_STATUS, a.GENERATION_INPUT, a.GENERATION_OUTPUT, *FOLDED),
    recordings=(r.GENERATION_REQUESTS, r.GENERATION_ERRORS, r.GENERATION_DURATION),
    status=a.GENERATION_STATUS,
    event="dify.prompt_generation.execution",
    subject="generation of {dify.operation_type}",
)


def _happening(
    name: str, doc: str, event: str, *recordings: Recording, attributes: tuple[Attribute, ...] = ()
) -> Kind:
    """Make the row of something that happens at once."""
    return Kind(
        name=name,
        doc=doc,
        span_name=name,
        span_kind=SpanKind.INTERNAL,
        below=("request", "task", "message"),
        attributes=attributes,
        recordings=recordings,
        event=event,
        subject=name,
    )


APP_CREATED = _happening("app created", "An app is made.", "dify.app.created", r.APP_WAS_CREATED)
APP_UPDATED = _happening("app updated", "An app is changed.", "dify.app.updated", r.APP_WAS_UPDATED)
APP_DELETED = _happening("app deleted", "An app is deleted.", "dify.app.deleted", r.APP_WAS_DELETED)
DATASET_CREATED = _happening(
    "dataset created",
    "A data set is made.",
    "dify.dataset.created",
    r.DATASET_WAS_CREATED,
    attributes=(a.DATASET_ID, *FOLDED),
)
DATASET_DELETED = _happening(
    "dataset deleted",
    "A data set is deleted.",
    "dify.dataset.deleted",
    r.DATASET_WAS_DELETED,
    attributes=(a.DATASET_ID,),
)
CONVERSATION_CREATED = _happening(
    "conversation created",
    "A conversation begins: of a chat, agent, completion or chatflow app, or in the editor.",
    "dify.conversation.created",
    r.CONVERSATION_WAS_CREATED,
)
FEEDBACK = _happening(
    "feedback",
    "Somebody judges an answer.",
    "dify.feedback.created",
    r.FEEDBACK_GIVEN,
    attributes=(a.FEEDBACK_RATING, a.FEEDBACK_CONTENT, *FOLDED),
)
ANNOTATION_HIT = _happening(
    "annotation hit",
    "An annotation answers in place of a model.",
    "dify.annotation.hit",
    r.ANNOTATION_USED,
    attributes=(a.ANNOTATION_ID, a.TOP_SCORE, *FOLDED),
)
INDEXING = Kind(
    name="indexing",
    doc="One phase of indexing a document.",
    span_name="index {dify.indexing.phase}",
    span_kind=SpanKind.INTERNAL,
    below=("task",),
    attributes=(
        a.INDEXING_PHASE,
        a.INDEXING_STATUS,
        a.DATASET_ID,
        a.DOCUMENT_ID,
        a.DOCUMENT_SOURCE,
        a.DOCUMENT_COUNT,
        *FOLDED,
    ),
    recordings=(r.INDEXING_DURATION, r.INDEXING_ERRORS),
    status=a.INDEXING_STATUS,
    event="dify.document.indexing",
    subject="indexing of document {dify.document.id}, {dify.indexing.phase},",
)
INDEXING_ERROR = _happening(
    "indexing error",
    "A document cannot be indexed.",
    "dify.document.indexing_error",
    attributes=(a.DOCUMENT_ID, *FOLDED),
)
STORAGE = Kind(
    name="storage",
    doc="An operation on a file. A fast one has no span.",
    span_name="storage {dify.storage.operation}",
    span_kind=SpanKind.CLIENT,
    below=("request", "task", "node"),
    attributes=(a.STORAGE_OPERATION, a.STORAGE_TYPE, a.STORAGE_SIZE),
    recordings=(r.STORAGE_DURATION,),
    folds=True,
)
MAIL = Kind(
    name="mail",
    doc="A mail sent.",
    span_name="send mail",
    span_kind=SpanKind.CLIENT,
    below=("task", "request"),
    attributes=(),
    recordings=(r.MAIL_SENT,),
)
TRIGGER = Kind(
    name="trigger",
    doc="A workflow started from outside: by webhook, schedule or plugin.",
    span_name="trigger {dify.trigger.type}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task"),
    attributes=(a.TRIGGER_TYPE, *FOLDED),
    recordings=(r.TRIGGERED,),
    event="dify.trigger",
    subject="trigger {dify.trigger.type}",
)
CUSTOM = Kind(
    name="custom",
    doc="What `otel_dify.observe` is put around, with whatever attributes it is given.",
    span_name="{dify.custom.name}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "node", "tool call", "custom"),
    attributes=(a.CUSTOM_NAME, a.CUSTOM_STATUS, *FOLDED),
    recordings=(r.CUSTOM_REQUESTS, r.CUSTOM_DURATION),
    status=a.CUSTOM_STATUS,
)

OF_APPS: tuple[Kind, ...] = (
    MESSAGE,
    AGENT,
    RETRIEVAL,
    SEARCH,
    MODERATION,
    GENERATION,
    APP_CREATED,
    APP_UPDATED,
    APP_DELETED,
    DATASET_CREATED,
    DATASET_DELETED,
    CONVERSATION_CREATED,
    FEEDBACK,
    ANNOTATION_HIT,
    INDEXING,
    INDEXING_ERROR,
    STORAGE,
    MAIL,
    TRIGGER,
    CUSTOM,
)
