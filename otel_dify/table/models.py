"""Calls of models: chat, embeddings, rerank, moderation, speech."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import FAILURE, NODE_TYPE, OPERATION_TYPE, OWNER, WORKFLOW_ID
from otel_dify.table.instrument import FIRST_CHUNK_BUCKETS, Amount, Instrument, Recording
from otel_dify.table.kind import Kind

# Model call.
OPERATION_NAME = define(
    "gen_ai.operation.name",
    "string",
    "`chat`, `embeddings`, `rerank`, `moderation`, `speech_to_text` or `text_to_speech`",
)
PROVIDER = define("gen_ai.provider.name", "string", "Provider, in OpenTelemetry's names")
DIFY_PROVIDER = define("dify.model.provider", "string", "Provider, in Dify's name", text=256)
REQUEST_MODEL = define("gen_ai.request.model", "string", "Model asked for", text=256)
RESPONSE_MODEL = define("gen_ai.response.model", "string", "Model that answered", text=256)
FINISH_REASONS = define(
    "gen_ai.response.finish_reasons", "string[]", "Why the model stopped writing", text=256
)
TEMPERATURE = define("gen_ai.request.temperature", "double", "Temperature asked for")
TOP_P = define("gen_ai.request.top_p", "double", "Nucleus sampling asked for")
MAX_TOKENS = define("gen_ai.request.max_tokens", "int", "Limit of output tokens asked for")
STREAM = define("gen_ai.request.stream", "boolean", "Whether the answer is streamed")
INPUT_TOKENS = define("gen_ai.usage.input_tokens", "int", "Input tokens of this call")
OUTPUT_TOKENS = define("gen_ai.usage.output_tokens", "int", "Output tokens of this call")
CACHED_TOKENS = define(
    "gen_ai.usage.cache_read.input_tokens",
    "int",
    "Input tokens read from a cache; no usage of graphon up to 0.8 has them",
)
REASONING_TOKENS = define(
    "gen_ai.usage.reasoning.output_tokens",
    "int",
    "Output tokens of reasoning; no usage of graphon up to 0.8 has them",
)
CALL_PRICE = define("gen_ai.usage.cost", "double", "Price of this call, in its currency")
CALL_CURRENCY = define("gen_ai.usage.cost.currency", "string", "Currency of the price")
FIRST_TOKEN = define(
    "gen_ai.response.time_to_first_chunk", "double", "Seconds to the first chunk of a stream"
)
INPUT_COUNT = define("dify.model.input.count", "int", "Texts or documents sent in this call")
INPUT_MESSAGES = define("gen_ai.input.messages", "string", "Prompt, JSON", content=True)
OUTPUT_MESSAGES = define("gen_ai.output.messages", "string", "Answer, JSON", content=True)
# OpenTelemetry's GenAI conventions, with .5, 1, 2, 5, 10 and 30 that dashboards of Dify ask for.
_MODEL_BUCKETS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.64, 1, 1.28, 2, 2.56),
    *(5, 5.12, 10, 10.24, 20.48, 30, 40.96, 60, 81.92),
)
_TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
TOKEN_USAGE = Instrument(
    "gen_ai.client.token.usage",
    "histogram",
    "{token}",
    "Tokens of each model call, counted where the model is called: every token once",
    _TOKEN_BUCKETS,
)
OPERATION_DURATION = Instrument(
    "gen_ai.client.operation.duration", "histogram", "s", "Duration of model calls", _MODEL_BUCKETS
)
TIME_TO_FIRST_CHUNK = Instrument(
    "gen_ai.client.operation.time_to_first_chunk",
    "histogram",
    "s",
    "Time to the first chunk of streamed model calls",
    FIRST_CHUNK_BUCKETS,
)
COST = Instrument(
    "dify.model.cost",
    "counter",
    "{currency}",
    "Price of model calls, by currency",
    fractional=True,
)
MODEL_LABELS = (("model_provider", DIFY_PROVIDER), ("model_name", REQUEST_MODEL))
_GEN_AI = (
    (OPERATION_NAME.key, OPERATION_NAME),
    (PROVIDER.key, PROVIDER),
    (REQUEST_MODEL.key, REQUEST_MODEL),
    (RESPONSE_MODEL.key, RESPONSE_MODEL),
    *OWNER,
    ("node_type", NODE_TYPE),
    ("operation_type", OPERATION_TYPE),
    (DIFY_PROVIDER.key, DIFY_PROVIDER),
)
MODEL_CALL = Kind(
    name="model call",
    doc="A call of a model: chat, embeddings, rerank, moderation, speech.",
    span_name="{gen_ai.operation.name} {gen_ai.request.model}",
    span_kind=SpanKind.CLIENT,
    below=(
        *("request", "task", "node", "draft node", "tool call", "message", "agent", "retrieval"),
        *("search", "moderation", "generation", "indexing", "custom"),
    ),
    attributes=(
        OPERATION_NAME,
        PROVIDER,
        DIFY_PROVIDER,
        REQUEST_MODEL,
        RESPONSE_MODEL,
        FINISH_REASONS,
        TEMPERATURE,
        TOP_P,
        MAX_TOKENS,
        STREAM,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        CACHED_TOKENS,
        REASONING_TOKENS,
        CALL_PRICE,
        CALL_CURRENCY,
        FIRST_TOKEN,
        INPUT_COUNT,
        INPUT_MESSAGES,
        OUTPUT_MESSAGES,
    ),
    recordings=(
        Recording(TOKEN_USAGE, INPUT_TOKENS, _GEN_AI, (("gen_ai.token.type", "input"),)),
        Recording(TOKEN_USAGE, OUTPUT_TOKENS, _GEN_AI, (("gen_ai.token.type", "output"),)),
        Recording(OPERATION_DURATION, Amount.DURATION, (*_GEN_AI, FAILURE)),
        Recording(TIME_TO_FIRST_CHUNK, FIRST_TOKEN, _GEN_AI),
        Recording(
            COST,
            CALL_PRICE,
            (*_GEN_AI, ("workflow_id", WORKFLOW_ID), ("currency", CALL_CURRENCY)),
        ),
    ),
    event="gen_ai.client.inference.operation.details",
    subject="call of model {gen_ai.request.model} ({gen_ai.operation.name})",
)
