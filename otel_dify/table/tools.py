"""Calls of tools."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import CATEGORY, ERRORS, OWNER, REQUESTS
from otel_dify.table.instrument import NODE_BUCKETS, Amount, Instrument, Recording, When
from otel_dify.table.kind import Kind
from otel_dify.table.limits import LEFT_OUT
from otel_dify.table.models import OPERATION_NAME
from otel_dify.table.queries import FOLDED

# Tool call.
TOOL_NAME = define("gen_ai.tool.name", "string", "Tool", text=256)
TOOL_TYPE = define(
    "dify.tool.provider_type", "string", "`builtin`, `api`, `workflow`, `plugin` or `mcp`"
)
TOOL_PROVIDER = define("dify.tool.provider", "string", "Provider of the tool", text=256)
TOOL_STATUS = define("dify.tool.status", "string", "`succeeded` or `failed`")
TOOL_INPUTS = define("gen_ai.tool.call.arguments", "string", "Arguments, JSON", content=True)
TOOL_OUTPUTS = define("gen_ai.tool.call.result", "string", "Result, JSON", content=True)
TOOL_DURATION_METRIC = Instrument(
    "dify.tool.duration", "histogram", "s", "Duration of tool calls", NODE_BUCKETS
)
_TOOL = (*OWNER, ("tool_name", TOOL_NAME))
TOOL_CALL = Kind(
    name="tool call",
    doc="A call of a tool, by a tool node or an agent.",
    span_name="execute_tool {gen_ai.tool.name}",
    span_kind=SpanKind.INTERNAL,
    below=("node", "draft node", "agent", "request"),
    attributes=(
        OPERATION_NAME,
        TOOL_NAME,
        TOOL_TYPE,
        TOOL_PROVIDER,
        TOOL_STATUS,
        TOOL_INPUTS,
        TOOL_OUTPUTS,
        *FOLDED,
        *LEFT_OUT,
    ),
    recordings=(
        Recording(REQUESTS, Amount.ONE, (*_TOOL, ("status", TOOL_STATUS)), (("type", "tool"),)),
        Recording(ERRORS, Amount.ONE, (*_TOOL, CATEGORY), (("type", "tool"),), When.FAILED),
        Recording(TOOL_DURATION_METRIC, Amount.DURATION, _TOOL),
    ),
    status=TOOL_STATUS,
    event="dify.tool.execution",
    subject="tool {gen_ai.tool.name}",
)
