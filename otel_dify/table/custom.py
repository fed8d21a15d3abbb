"""What others observe with `otel_dify.observe`."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import OWNER, REQUESTS
from otel_dify.table.instrument import NODE_BUCKETS, Amount, Instrument, Recording
from otel_dify.table.kind import Kind
from otel_dify.table.limits import LEFT_OUT
from otel_dify.table.queries import FOLDED

# What others observe.
CUSTOM_NAME = define("dify.custom.name", "string", "Name given to `otel_dify.observe`", text=256)
CUSTOM_STATUS = define("dify.custom.status", "string", "`succeeded` or `failed`")
CUSTOM_DURATION_METRIC = Instrument(
    "dify.custom.duration",
    "histogram",
    "s",
    "Duration of what `otel_dify.observe` is put around",
    NODE_BUCKETS,
)
_CUSTOM = (*OWNER, ("name", CUSTOM_NAME), ("status", CUSTOM_STATUS))
CUSTOM = Kind(
    name="custom",
    doc="What `otel_dify.observe` is put around, with whatever attributes it is given.",
    span_name="{dify.custom.name}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "node", "tool call", "custom"),
    attributes=(CUSTOM_NAME, CUSTOM_STATUS, *FOLDED, *LEFT_OUT),
    recordings=(
        Recording(REQUESTS, Amount.ONE, _CUSTOM, (("type", "custom"),)),
        Recording(CUSTOM_DURATION_METRIC, Amount.DURATION, _CUSTOM),
    ),
    status=CUSTOM_STATUS,
)
