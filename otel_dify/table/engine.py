"""The engine: runs, nodes, items of iterations and passes of loops."""

from __future__ import annotations

from math import inf

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import (
    CATEGORY,
    ERRORS,
    INVOKED,
    NODE_TYPE,
    OWNER,
    REQUESTS,
    TOKENS_INPUT,
    TOKENS_OUTPUT,
    TOKENS_TOTAL,
    WORKFLOW_ID,
)
from otel_dify.table.instrument import (
    NODE_BUCKETS,
    RUN_BUCKETS,
    Amount,
    Instrument,
    Recording,
    When,
)
from otel_dify.table.kind import Kind
from otel_dify.table.limits import LEFT_OUT, LEFT_OUT_BELOW, TOLD
from otel_dify.table.models import DIFY_PROVIDER, MODEL_LABELS, REQUEST_MODEL
from otel_dify.table.queries import FOLDED
from otel_dify.table.tools import TOOL_NAME

# Run.
RUN_STATUS = define(
    "dify.workflow.status",
    "string",
    "`succeeded`, `partial-succeeded`, `failed`, `stopped`, `paused`, or `terminated`: its process "
    "was killed, where Dify's database says `running` for ever; on a request or task that "
    "of the run that it serves",
)
WORKFLOW_VERSION = define(
    "dify.workflow.version",
    "string",
    "Version of the workflow: when it was published, or `draft`; where it is known",
    text=256,
)
RUN_ERROR = define("dify.workflow.error", "string", "Why the run failed", text=16_384, quotes=True)
RUN_RESUMED = define("dify.workflow.resumed", "boolean", "The run goes on after a pause")
RUN_INPUTS = define("dify.workflow.inputs", "string", "Inputs, JSON", content=True)
RUN_OUTPUTS = define("dify.workflow.outputs", "string", "Outputs, JSON", content=True)
EXCEPTIONS_COUNT = define(
    "dify.workflow.exceptions_count", "int", "Nodes that failed and were recovered"
)
NODE_COUNT = define(
    "dify.workflow.node_count", "int", "Executions of nodes, those in iterations and loops too"
)
TOTAL_TOKENS = define(
    "dify.usage.total_tokens", "int", "Tokens of everything below, as Dify's engine adds them up"
)
INPUT_TOKENS_BELOW = define("dify.usage.input_tokens", "int", "Input tokens of everything below")
OUTPUT_TOKENS_BELOW = define("dify.usage.output_tokens", "int", "Output tokens of everything below")
TOTAL_PRICE = define(
    "dify.usage.total_price", "double", "Price of everything below, in `dify.usage.currency`"
)
CURRENCY = define("dify.usage.currency", "string", "Currency code, such as USD")
# Node.
NODE_TITLE = define("dify.node.title", "string", "Title in the editor", text=256)
NODE_STATUS = define(
    "dify.node.status",
    "string",
    "`succeeded`, `failed`, `exception` (recovered by default value or fail branch: no error), "
    "`paused`, `terminated` (its process was killed), or `stopped`: its run ended first, by "
    "another node's failure or by somebody",
)
NODE_ERROR = define("dify.node.error", "string", "Why the node failed", text=16_384, quotes=True)
NODE_RECOVERED = define(
    "dify.node.recovered_from",
    "string",
    "Type of the failure that the node recovered from; `dify.error.message` has its text",
    text=256,
)
NODE_RETRIES = define("dify.node.retry_count", "int", "Attempts beyond the first")
NODE_RETRY_INDEX = define("dify.node.retry_index", "int", "Which retry follows, from 1")
NODE_INPUTS = define("dify.node.inputs", "string", "Inputs, JSON", content=True)
NODE_OUTPUTS = define("dify.node.outputs", "string", "Outputs, JSON", content=True)
NODE_PROCESS_DATA = define("dify.node.process_data", "string", "Process data, JSON", content=True)
ITERATION_ID = define("dify.node.iteration_id", "string", "Iteration node it lies in")
LOOP_ID = define("dify.node.loop_id", "string", "Loop node it lies in")
INDEX = define("dify.node.index", "int", "Number of the item or pass, from 0")
WORKFLOW_DURATION = Instrument(
    "dify.workflow.duration", "histogram", "s", "Duration of runs", RUN_BUCKETS
)
PAUSES = Instrument(
    "dify.workflow.pauses.total", "counter", "{pause}", "Runs left to wait for a person"
)
NODE_DURATION_METRIC = Instrument(
    "dify.node.duration", "histogram", "s", "Duration of node executions", NODE_BUCKETS
)
NODE_RETRY_COUNT = Instrument(
    "dify.node.retries", "counter", "{retry}", "Attempts of nodes beyond the first"
)
_WORKFLOW = (*OWNER, ("workflow_id", WORKFLOW_ID))
_NODE = (*OWNER, ("node_type", NODE_TYPE), *MODEL_LABELS)
_STATUS_OF_RUN = ("status", RUN_STATUS)
_AS_RUN = (("operation_type", "workflow"),)
_AS_NODE = (("operation_type", "node_execution"),)
_BELOW_SUMS = (
    TOTAL_TOKENS,
    INPUT_TOKENS_BELOW,
    OUTPUT_TOKENS_BELOW,
    TOTAL_PRICE,
    CURRENCY,
)
RUN = Kind(
    name="run",
    doc="A run of a workflow, or the part of one between a start or resume and an end or pause.",
    span_name="invoke_workflow {dify.app.name}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "message", "tool call"),
    attributes=(
        RUN_STATUS,
        WORKFLOW_VERSION,
        RUN_ERROR,
        RUN_RESUMED,
        EXCEPTIONS_COUNT,
        NODE_COUNT,
        *_BELOW_SUMS,
        RUN_INPUTS,
        RUN_OUTPUTS,
        *FOLDED,
        *LEFT_OUT_BELOW,
        *LEFT_OUT,
    ),
    recordings=(
        Recording(
            REQUESTS,
            Amount.ONE,
            (*_WORKFLOW, _STATUS_OF_RUN, INVOKED),
            (("type", "workflow"),),
            When.NOT_PAUSED,
        ),
        Recording(PAUSES, Amount.ONE, _WORKFLOW, (), When.PAUSED),
        Recording(ERRORS, Amount.ONE, (*_WORKFLOW, CATEGORY), (("type", "workflow"),), When.FAILED),
        Recording(WORKFLOW_DURATION, Amount.DURATION, (*_WORKFLOW, _STATUS_OF_RUN)),
        Recording(TOKENS_TOTAL, TOTAL_TOKENS, _WORKFLOW, _AS_RUN),
        Recording(TOKENS_INPUT, INPUT_TOKENS_BELOW, _WORKFLOW, _AS_RUN),
        Recording(TOKENS_OUTPUT, OUTPUT_TOKENS_BELOW, _WORKFLOW, _AS_RUN),
    ),
    status=RUN_STATUS,
    event="dify.workflow.run",
    start_event="dify.workflow.started",
    subject="run {dify.workflow.run_id}",
    also=(TOLD,),
    recovered=True,
    limited=True,
)
NODE = Kind(
    name="node",
    doc="An execution of a node, all its attempts together; each retry is a span event.",
    span_name="{dify.node.type} {dify.node.title}",
    span_kind=SpanKind.INTERNAL,
    below=("run", "item", "pass"),
    attributes=(
        NODE_TITLE,
        NODE_STATUS,
        NODE_ERROR,
        NODE_RECOVERED,
        NODE_RETRIES,
        ITERATION_ID,
        LOOP_ID,
        INDEX,
        DIFY_PROVIDER,
        REQUEST_MODEL,
        TOOL_NAME,
        *_BELOW_SUMS,
        NODE_INPUTS,
        NODE_OUTPUTS,
        NODE_PROCESS_DATA,
        *FOLDED,
        *LEFT_OUT,
    ),
    recordings=(
        Recording(
            REQUESTS,
            Amount.ONE,
            (*_NODE, ("status", NODE_STATUS)),
            (("type", "node"),),
            When.NOT_PAUSED,
        ),
        Recording(ERRORS, Amount.ONE, (*_NODE, CATEGORY), (("type", "node"),), When.FAILED),
        Recording(NODE_DURATION_METRIC, Amount.DURATION, _NODE),
        Recording(NODE_RETRY_COUNT, NODE_RETRIES, _NODE),
        Recording(TOKENS_TOTAL, TOTAL_TOKENS, _NODE, _AS_NODE),
        Recording(TOKENS_INPUT, INPUT_TOKENS_BELOW, _NODE, _AS_NODE),
        Recording(TOKENS_OUTPUT, OUTPUT_TOKENS_BELOW, _NODE, _AS_NODE),
    ),
    status=NODE_STATUS,
    event="dify.node.execution",
    start_event="dify.node.started",
    subject="node {dify.node.title} ({dify.node.type})",
    recovered=True,
    # A graph has so many, and is not understood without one of them.
    share=inf,
)
DRAFT_NODE = Kind(
    name="draft node",
    doc="A node that somebody tries out in the editor, without a run around it.",
    span_name=NODE.span_name,
    span_kind=SpanKind.INTERNAL,
    below=("request",),
    attributes=NODE.attributes,
    recordings=(
        Recording(
            REQUESTS, Amount.ONE, (*_NODE, ("status", NODE_STATUS)), (("type", "draft_node"),)
        ),
        Recording(ERRORS, Amount.ONE, (*_NODE, CATEGORY), (("type", "draft_node"),), When.FAILED),
        Recording(NODE_DURATION_METRIC, Amount.DURATION, _NODE),
    ),
    status=NODE_STATUS,
    event="dify.node.execution.draft",
    subject="draft node {dify.node.title} ({dify.node.type})",
)
ITEM = Kind(
    name="item",
    doc="One item of an iteration node.",
    span_name="iteration item",
    span_kind=SpanKind.INTERNAL,
    below=("node",),
    attributes=(ITERATION_ID, INDEX, *FOLDED),
    share=1,
)
PASS = Kind(
    name="pass",
    doc="One pass of a loop node.",
    span_name="loop pass",
    span_kind=SpanKind.INTERNAL,
    below=("node",),
    attributes=(LOOP_ID, INDEX, *FOLDED),
    share=1,
)
