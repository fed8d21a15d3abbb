"""Moderation, and what Dify asks models besides running apps."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import CATEGORY, ERRORS, OPERATION_TYPE, OWNER, REQUESTS
from otel_dify.table.instrument import NODE_BUCKETS, Amount, Instrument, Recording, When
from otel_dify.table.kind import Kind
from otel_dify.table.queries import FOLDED

# Moderation and generation.
MODERATION_TYPE = define("dify.moderation.type", "string", "`input` or `output`")
MODERATION_PROVIDER = define(
    "dify.moderation.provider", "string", "`keywords`, `openai_moderation`, `api` or a plugin's"
)
MODERATION_FLAGGED = define("dify.moderation.flagged", "boolean", "Whether it was flagged")
MODERATION_ACTION = define("dify.moderation.action", "string", "What was done about it")
MODERATION_QUERY = define("dify.moderation.query", "string", "What was checked", content=True)
GENERATION_STATUS = define("dify.prompt_generation.status", "string", "`succeeded` or `failed`")
GENERATION_INPUT = define(
    "dify.prompt_generation.instruction", "string", "What it is made from", content=True
)
GENERATION_OUTPUT = define(
    "dify.prompt_generation.output", "string", "What was made, JSON", content=True
)
GENERATION_DURATION_METRIC = Instrument(
    "dify.prompt_generation.duration",
    "histogram",
    "s",
    "Duration of what models are asked besides running apps",
    NODE_BUCKETS,
)
_GENERATION = (*OWNER, ("operation_type", OPERATION_TYPE))
MODERATION = Kind(
    name="moderation",
    doc="A check of what a user asked or a model answered.",
    span_name="moderation {dify.moderation.type}",
    span_kind=SpanKind.INTERNAL,
    below=("message", "request", "task"),
    attributes=(
        MODERATION_TYPE,
        MODERATION_PROVIDER,
        MODERATION_FLAGGED,
        MODERATION_ACTION,
        MODERATION_QUERY,
        *FOLDED,
    ),
    recordings=(
        Recording(
            REQUESTS,
            Amount.ONE,
            (*OWNER, ("moderation_type", MODERATION_TYPE), ("flagged", MODERATION_FLAGGED)),
            (("type", "moderation"),),
        ),
    ),
    event="dify.moderation.check",
    subject="moderation of {dify.moderation.type}",
)
GENERATION = Kind(
    name="generation",
    doc="What Dify asks a model besides running apps: names, questions, prompts, code.",
    span_name="generate {dify.operation_type}",
    span_kind=SpanKind.INTERNAL,
    below=("request", "task", "indexing"),
    attributes=(GENERATION_STATUS, GENERATION_INPUT, GENERATION_OUTPUT, *FOLDED),
    recordings=(
        Recording(
            REQUESTS,
            Amount.ONE,
            (*_GENERATION, ("status", GENERATION_STATUS)),
            (("type", "prompt_generation"),),
        ),
        Recording(
            ERRORS,
            Amount.ONE,
            (*_GENERATION, CATEGORY),
            (("type", "prompt_generation"),),
            When.FAILED,
        ),
        Recording(GENERATION_DURATION_METRIC, Amount.DURATION, _GENERATION),
    ),
    status=GENERATION_STATUS,
    event="dify.prompt_generation.execution",
    subject="generation ({dify.operation_type})",
)
