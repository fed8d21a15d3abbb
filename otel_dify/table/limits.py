"""What was left out: operations without a span and log records beyond the limits of a run."""

from __future__ import annotations

from otel_dify.table.attribute import define

LEFT_OUT_SPANS = define(
    "dify.left_out.spans",
    "int",
    "Operations below it without a span: there were too many (`OTEL_DIFY_RUN_SPANS`)",
)
LEFT_OUT_LOGS = define(
    "dify.left_out.logs",
    "int",
    "Python log records below it that were not sent: there were too many (`OTEL_DIFY_RUN_LOGS`)",
)
LEFT_OUT_OF = define(
    "dify.left_out.<kind>.count",
    "int",
    "Operations of one kind (`item`, `model_call`) within it that have no span: there were too "
    "many",
)
LEFT_OUT_FAILED_OF = define("dify.left_out.<kind>.failed", "int", "Those of them that failed")
LEFT_OUT_TIME_OF = define("dify.left_out.<kind>.duration", "double", "Their seconds")
LEFT_OUT_SLOWEST_OF = define(
    "dify.left_out.<kind>.slowest", "double", "Seconds that the slowest of them took"
)
LEFT_OUT_BELOW = (LEFT_OUT_SPANS, LEFT_OUT_LOGS)
"""What a kind carries whose spans and log records are limited."""
LEFT_OUT = (LEFT_OUT_OF, LEFT_OUT_FAILED_OF, LEFT_OUT_TIME_OF, LEFT_OUT_SLOWEST_OF)
"""What a kind carries in which others are left out."""
TOLD = f"; left out: {{{LEFT_OUT_SPANS.key}}} spans, {{{LEFT_OUT_LOGS.key}}} log records"
"""What its sentence says then."""
