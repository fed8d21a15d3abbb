"""The table of kinds: what an operation of each kind is called, carries, counts and emits.

Adding a kind is adding a row. ``docs/data-dictionary.md`` is generated from this table, and
dashboards, rules and Collector configurations are checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.trace import SpanKind

from otel_dify.operations import attributes as a
from otel_dify.operations import instruments as i
from otel_dify.operations.attributes import Attribute
from otel_dify.operations.instruments import Recording


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of operation.

    Attributes:
        name: how tables and docs call it.
        doc: what one operation of it is.
        span_name: name of its span; ``{key}`` stands for the value of an attribute and is left
            out where it has none.
        span_kind: kind of its span.
        below: the kinds it nests under.
        attributes: what it carries besides what it inherits.
        status: the attribute that holds its outcome, if it has one.
        recordings: the metric points it makes when it ends.
        event: name of the log event it emits when it ends; empty: none.
        subject: the operation in a sentence, as the event's body begins.
        hoists: whether what operations below it learn (run id, app) is written on it too.
        folds: whether a fast and successful one is counted on its parent instead of being a span.
    """

    name: str
    doc: str
    span_name: str
    span_kind: SpanKind
    below: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    recordings: tuple[Recording, ...] = ()
    status: Attribute | None = None
    event: str = ""
    subject: str = ""
    hoists: bool = False
    folds: bool = False
    always: tuple[Attribute, ...] = field(
        default=(a.ERROR_TYPE, a.ERROR_MESSAGE, a.ERROR_CATEGORY, a.ERROR_FINGERPRINT)
    )


_HTTP = (a.HTTP_METHOD, a.HTTP_STATUS, a.SERVER_ADDRESS, a.SERVER_PORT)
_TASK = (a.TASK_NAME, a.TASK_ACTION, a.MESSAGING_SYSTEM, a.MESSAGING_OPERATION, a.DESTINATION)
_FOLDED = (a.DB_QUERIES, a.DB_TIME)
_BELOW_SUMS = (
    a.TOTAL_TOKENS,
    a.INPUT_TOKENS_BELOW,
    a.OUTPUT_TOKENS_BELOW,
    a.TOTAL_PRICE,
    a.CURRENCY,
)

REQUEST = Kind(
    name="request",
    doc="An HTTP request to Dify, until the last byte of its response.",
    span_name="{http.request.method} {http.route}",
    span_kind=SpanKind.SERVER,
    below=("http call",),
    attributes=(
        *_HTTP,
        a.HTTP_ROUTE,
        a.URL_PATH,
        a.HTTP_FIRST_BYTE,
        a.HTTP_BODY_SIZE,
        a.CLIENT_ADDRESS,
        a.USER_AGENT,
        a.ERROR_ID,
        *_FOLDED,
    ),
    recordings=(i.HTTP_SERVER_DURATION,),
    event="dify.http.request",
    subject="{http.request.method} {url.path} answered {http.response.status_code}",
    hoists=True,
)
SEND = Kind(
    name="send",
    doc="A Celery task handed to the broker.",
    span_name="send {celery.task_name}",
    span_kind=SpanKind.PRODUCER,
    below=("request", "task", "run", "node"),
    attributes=(*_TASK, a.MESSAGE_UID),
    recordings=(i.MESSAGES_SENT,),
)
TASK = Kind(
    name="task",
    doc="A Celery task run by a worker.",
    span_name="process {celery.task_name}",
    span_kind=SpanKind.CONSUMER,
    below=("send",),
    attributes=(*_TASK, a.MESSAGE_UID, a.TASK_STATE, a.QUEUE_WAIT, *_FOLDED),
    recordings=(i.TASK_DURATION, i.TASK_QUEUE_WAIT),
    status=a.TASK_STATE,
    event="dify.task.execution",
    subject="task {celery.task_name}",
    hoists=True,
)
RUN = Kind(
    name="run",
    doc="A run of a workflow, or the part of one between a start or resume and an end or pause.",
    span_name="invoke_workflow {dify.app.name}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "node"),
    attributes=(
        a.RUN_STATUS,
        a.RUN_ERROR,
        a.RUN_RESUMED,
        a.EXCEPTIONS_COUNT,
        *_BELOW_SUMS,
        a.RUN_INPUTS,
        a.RUN_OUTPUTS,
        *_FOLDED,
    ),
    recordings=(
        i.RUN_REQUESTS,
        i.RUN_ERRORS,
        i.RUN_DURATION,
        i.RUN_TOKENS_TOTAL,
        i.RUN_TOKENS_INPUT,
        i.RUN_TOKENS_OUTPUT,
    ),
    status=a.RUN_STATUS,
    event="dify.workflow.run",
    subject="run {dify.workflow.run_id}",
)
NODE = Kind(
    name="node",
    doc="An execution of a node, all its attempts together; each retry is a span event.",
    span_name="{dify.node.type} {dify.node.title}",
    span_kind=SpanKind.INTERNAL,
    below=("run", "item", "pass"),
    attributes=(
        a.NODE_TITLE,
        a.NODE_STATUS,
        a.NODE_ERROR,
        a.NODE_RETRIES,
        a.ITERATION_ID,
        a.LOOP_ID,
        a.INDEX,
        a.DIFY_PROVIDER,
        a.REQUEST_MODEL,
        a.TOOL_NAME,
        *_BELOW_SUMS,
        a.NODE_INPUTS,
        a.NODE_OUTPUTS,
        a.NODE_PROCESS_DATA,
        *_FOLDED,
    ),
    recordings=(
        i.NODE_REQUESTS,
        i.NODE_ERRORS,
        i.NODE_DURATION,
        i.NODE_RETRIES,
        i.NODE_TOKENS_TOTAL,
        i.NODE_TOKENS_INPUT,
        i.NODE_TOKENS_OUTPUT,
    ),
    status=a.NODE_STATUS,
    event="dify.node.execution",
    subject="node {dify.node.title} ({dify.node.type})",
)
DRAFT_NODE = Kind(
    name="draft node",
    doc="A node that somebody tries out in the editor, without a run around it.",
    span_name=NODE.span_name,
    span_kind=SpanKind.INTERNAL,
    below=("request",),
    attributes=NODE.attributes,
    recordings=(i.DRAFT_NODE_REQUESTS, i.DRAFT_NODE_ERRORS, i.NODE_DURATION),
    status=a.NODE_STATUS,
    event="dify.node.execution.draft",
    subject="draft node {dify.node.title} ({dify.node.type})",
)
ITEM = Kind(
    name="item",
    doc="One item of an iteration node.",
    span_name="iteration item",
    span_kind=SpanKind.INTERNAL,
    below=("node",),
    attributes=(a.ITERATION_ID, a.INDEX, *_FOLDED),
)
PASS = Kind(
    name="pass",
    doc="One pass of a loop node.",
    span_name="loop pass",
    span_kind=SpanKind.INTERNAL,
    below=("node",),
    attributes=(a.LOOP_ID, a.INDEX, *_FOLDED),
)
MODEL_CALL = Kind(
    name="model call",
    doc="A call of a model: chat, embeddings, rerank, moderation, speech.",
    span_name="{gen_ai.operation.name} {gen_ai.request.model}",
    span_kind=SpanKind.CLIENT,
    below=("node", "request", "task"),
    attributes=(
        a.OPERATION_NAME,
        a.PROVIDER,
        a.DIFY_PROVIDER,
        a.REQUEST_MODEL,
        a.RESPONSE_MODEL,
        a.FINISH_REASONS,
        a.TEMPERATURE,
        a.TOP_P,
        a.MAX_TOKENS,
        a.STREAM,
        a.INPUT_TOKENS,
        a.OUTPUT_TOKENS,
        a.CACHED_TOKENS,
        a.REASONING_TOKENS,
        a.CALL_PRICE,
        a.CALL_CURRENCY,
        a.FIRST_TOKEN,
        a.INPUT_COUNT,
        a.INPUT_MESSAGES,
        a.OUTPUT_MESSAGES,
    ),
    recordings=(
        i.MODEL_INPUT_TOKENS,
        i.MODEL_OUTPUT_TOKENS,
        i.MODEL_DURATION,
        i.MODEL_FIRST_CHUNK,
        i.MODEL_COST,
    ),
    event="gen_ai.client.inference.operation.details",
    subject="{gen_ai.operation.name} {gen_ai.request.model}",
)
TOOL_CALL = Kind(
    name="tool call",
    doc="A call of a tool, by a tool node or an agent.",
    span_name="execute_tool {gen_ai.tool.name}",
    span_kind=SpanKind.INTERNAL,
    below=("node", "request"),
    attributes=(
        a.OPERATION_NAME,
        a.TOOL_NAME,
        a.TOOL_TYPE,
        a.TOOL_PROVIDER,
        a.TOOL_STATUS,
        a.TOOL_INPUTS,
        a.TOOL_OUTPUTS,
        *_FOLDED,
    ),
    recordings=(i.TOOL_REQUESTS, i.TOOL_ERRORS, i.TOOL_DURATION),
    status=a.TOOL_STATUS,
    event="dify.tool.execution",
    subject="tool {gen_ai.tool.name}",
)
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
        *_FOLDED,
    ),
    recordings=(
        i.MESSAGE_REQUESTS,
        i.MESSAGE_ERRORS,
        i.MESSAGE_DURATION,
        i.MESSAGE_FIRST_TOKEN,
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
        *_FOLDED,
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
        *_FOLDED,
    ),
    recordings=(
        i.RETRIEVAL_REQUESTS,
        i.RETRIEVAL_ERRORS,
        i.DATASET_RETRIEVALS,
        i.RETRIEVAL_DURATION,
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
        *_FOLDED,
    ),
)
MODERATION = Kind(
    name="moderation",
    doc="A check of what a user asked or a model answered.",
    span_name="moderation {dify.moderation.type}",
    span_kind=SpanKind.INTERNAL,
    below=("message", "run"),
    attributes=(
        a.MODERATION_TYPE,
        a.MODERATION_FLAGGED,
        a.MODERATION_ACTION,
        a.MODERATION_QUERY,
        *_FOLDED,
    ),
    recordings=(i.MODERATION_REQUESTS,),
    event="dify.moderation.check",
    subject="moderation of {dify.moderation.type}",
)
GENERATION = Kind(
    name="generation",
    doc="What Dify asks a model besides running apps: names, questions, prompts, code.",
    span_name="generate {dify.operation_type}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "message"),
    attributes=(a.GENERATION_STATUS, a.GENERATION_INPUT, a.GENERATION_OUTPUT, *_FOLDED),
    recordings=(i.GENERATION_REQUESTS, i.GENERATION_ERRORS, i.GENERATION_DURATION),
    status=a.GENERATION_STATUS,
    event="dify.prompt_generation.execution",
    subject="generation of {dify.operation_type}",
)
CUSTOM = Kind(
    name="custom",
    doc="What `otel_dify.observe` is put around, with whatever attributes it is given.",
    span_name="{dify.custom.name}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "node", "tool call", "custom"),
    attributes=(a.CUSTOM_NAME, a.CUSTOM_STATUS, *_FOLDED),
    recordings=(i.CUSTOM_REQUESTS, i.CUSTOM_DURATION),
    status=a.CUSTOM_STATUS,
)
QUERY = Kind(
    name="query",
    doc="A query of the database or of Redis. Fast ones are counted on the operation above.",
    span_name="{db.operation.name} {db.namespace}",
    span_kind=SpanKind.CLIENT,
    below=("request", "task", "run", "node", "item", "pass", "tool call"),
    attributes=(
        a.DB_SYSTEM,
        a.DB_NAMESPACE,
        a.DB_OPERATION,
        a.DB_STATEMENT,
        a.SERVER_ADDRESS,
        a.SERVER_PORT,
    ),
    recordings=(i.QUERY_DURATION,),
    folds=True,
)
CHECKOUT = Kind(
    name="checkout",
    doc="A database connection taken from its pool. A fast one has no span.",
    span_name="connection checkout",
    span_kind=SpanKind.INTERNAL,
    below=QUERY.below,
    attributes=(),
    recordings=(i.CHECKOUT_WAIT,),
    folds=True,
)
HTTP_CALL = Kind(
    name="http call",
    doc="An HTTP request from Dify: to the plugin daemon, the sandbox, a node's target.",
    span_name="{http.request.method}",
    span_kind=SpanKind.CLIENT,
    below=("node", "model call", "tool call", "request", "task"),
    attributes=(*_HTTP, a.URL_FULL),
    recordings=(i.HTTP_CLIENT_DURATION,),
)

KINDS: tuple[Kind, ...] = (
    REQUEST,
    SEND,
    TASK,
    RUN,
    NODE,
    DRAFT_NODE,
    ITEM,
    PASS,
    MESSAGE,
    AGENT,
    MODEL_CALL,
    TOOL_CALL,
    RETRIEVAL,
    SEARCH,
    MODERATION,
    GENERATION,
    CUSTOM,
    QUERY,
    CHECKOUT,
    HTTP_CALL,
)
