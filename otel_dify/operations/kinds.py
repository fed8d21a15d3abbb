"""The table of kinds: what an operation of each kind is called, carries, counts and emits.

Adding a kind is adding a row. ``docs/data-dictionary.md`` is generated from this table, and
dashboards, rules and Collector configurations are checked against it.
"""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.operations import attributes as a
from otel_dify.operations import recordings as r
from otel_dify.operations.kind import FOLDED, Kind
from otel_dify.operations.kinds_of_apps import OF_APPS

_HTTP = (a.HTTP_METHOD, a.HTTP_STATUS, a.SERVER_ADDRESS, a.SERVER_PORT)
_TASK = (a.TASK_NAME, a.TASK_ACTION, a.MESSAGING_SYSTEM, a.MESSAGING_OPERATION, a.DESTINATION)
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
        a.HTTP_REQUEST_SIZE,
        a.CLIENT_ADDRESS,
        a.USER_AGENT,
        a.ERROR_CODE,
        *FOLDED,
    ),
    recordings=(r.HTTP_SERVER_DURATION,),
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
    recordings=(r.MESSAGES_SENT,),
)
TASK = Kind(
    name="task",
    doc="A Celery task run by a worker.",
    span_name="process {celery.task_name}",
    span_kind=SpanKind.CONSUMER,
    below=("send",),
    attributes=(*_TASK, a.MESSAGE_UID, a.TASK_STATE, a.QUEUE_WAIT, *FOLDED),
    recordings=(r.TASK_DURATION, r.TASK_QUEUE_WAIT),
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
        a.NODE_COUNT,
        *_BELOW_SUMS,
        a.RUN_INPUTS,
        a.RUN_OUTPUTS,
        *FOLDED,
    ),
    recordings=(
        r.RUN_REQUESTS,
        r.RUN_PAUSES,
        r.RUN_ERRORS,
        r.RUN_DURATION,
        r.RUN_TOKENS_TOTAL,
        r.RUN_TOKENS_INPUT,
        r.RUN_TOKENS_OUTPUT,
    ),
    status=a.RUN_STATUS,
    event="dify.workflow.run",
    start_event="dify.workflow.started",
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
        *FOLDED,
    ),
    recordings=(
        r.NODE_REQUESTS,
        r.NODE_ERRORS,
        r.NODE_DURATION,
        r.NODE_RETRIES,
        r.NODE_TOKENS_TOTAL,
        r.NODE_TOKENS_INPUT,
        r.NODE_TOKENS_OUTPUT,
    ),
    status=a.NODE_STATUS,
    event="dify.node.execution",
    start_event="dify.node.started",
    subject="node {dify.node.title} ({dify.node.type})",
)
DRAFT_NODE = Kind(
    name="draft node",
    doc="A node that somebody tries out in the editor, without a run around it.",
    span_name=NODE.span_name,
    span_kind=SpanKind.INTERNAL,
    below=("request",),
    attributes=NODE.attributes,
    recordings=(r.DRAFT_NODE_REQUESTS, r.DRAFT_NODE_ERRORS, r.NODE_DURATION),
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
    attributes=(a.ITERATION_ID, a.INDEX, *FOLDED),
)
PASS = Kind(
    name="pass",
    doc="One pass of a loop node.",
    span_name="loop pass",
    span_kind=SpanKind.INTERNAL,
    below=("node",),
    attributes=(a.LOOP_ID, a.INDEX, *FOLDED),
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
        r.MODEL_INPUT_TOKENS,
        r.MODEL_OUTPUT_TOKENS,
        r.MODEL_DURATION,
        r.MODEL_FIRST_CHUNK,
        r.MODEL_COST,
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
        *FOLDED,
    ),
    recordings=(r.TOOL_REQUESTS, r.TOOL_ERRORS, r.TOOL_DURATION),
    status=a.TOOL_STATUS,
    event="dify.tool.execution",
    subject="tool {gen_ai.tool.name}",
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
    recordings=(r.QUERY_DURATION,),
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
    recordings=(r.CHECKOUT_WAIT,),
    folds=True,
)
HTTP_CALL = Kind(
    name="http call",
    doc="An HTTP request from Dify: to the plugin daemon, the sandbox, a node's target.",
    span_name="{http.request.method}",
    span_kind=SpanKind.CLIENT,
    below=("node", "model call", "tool call", "request", "task"),
    attributes=(*_HTTP, a.URL_FULL),
    recordings=(r.HTTP_CLIENT_DURATION,),
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
    MODEL_CALL,
    TOOL_CALL,
    QUERY,
    CHECKOUT,
    HTTP_CALL,
    *OF_APPS,
)
