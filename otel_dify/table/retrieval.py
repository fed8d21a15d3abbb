"""Retrieval from data sets, and the searches in it."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import CATEGORY, ERRORS, OWNER, REQUESTS
from otel_dify.table.instrument import NODE_BUCKETS, Amount, Instrument, Recording, When
from otel_dify.table.kind import Kind
from otel_dify.table.models import OPERATION_NAME
from otel_dify.table.queries import FOLDED

# Retrieval.
RETRIEVAL_SOURCE = define(
    "dify.retrieval.source", "string", "`knowledge`: all data sets together; `dataset`: one"
)
RETRIEVAL_METHOD = define(
    "dify.retrieval.method",
    "string",
    "Of a data set its search method, of a search `keyword`, `vector` or `full_text`",
)
RETRIEVAL_TOP_K = define("dify.retrieval.top_k", "int", "Documents asked for")
RETRIEVAL_QUERY = define("dify.retrieval.query", "string", "What was searched", content=True)
DATASET_ID = define("dify.dataset.id", "string", "Data set")
DATASET_IDS = define("dify.dataset.ids", "string[]", "Data sets")
RERANK_PROVIDER = define("dify.retrieval.rerank_provider", "string", "Provider of the rerank model")
RERANK_MODEL = define("dify.retrieval.rerank_model", "string", "Rerank model")
DOCUMENT_COUNT = define("dify.retrieval.document_count", "int", "Documents found")
TOP_SCORE = define("dify.retrieval.top_score", "double", "Best score of a document")
RETRIEVAL_STATUS = define("dify.retrieval.status", "string", "`succeeded` or `failed`")
DOCUMENTS = define("dify.dataset.documents", "string", "Documents found, JSON", content=True)
RETRIEVAL_DURATION_METRIC = Instrument(
    "dify.retrieval.duration", "histogram", "s", "Duration of retrievals", NODE_BUCKETS
)
RETRIEVALS = Instrument(
    "dify.dataset.retrievals.total", "counter", "{retrieval}", "Retrievals, by data set"
)
_DATASET = (
    *OWNER,
    ("source", RETRIEVAL_SOURCE),
    ("dataset_id", DATASET_ID),
    ("method", RETRIEVAL_METHOD),
    ("rerank_model_provider", RERANK_PROVIDER),
    ("rerank_model", RERANK_MODEL),
)
RETRIEVAL = Kind(
    name="retrieval",
    doc="A retrieval: from all data sets of an app or node, and in it from each of them.",
    span_name="retrieval {dify.retrieval.source}",
    span_kind=SpanKind.INTERNAL,
    below=("node", "draft node", "message", "tool call", "request", "retrieval"),
    attributes=(
        OPERATION_NAME,
        RETRIEVAL_SOURCE,
        RETRIEVAL_METHOD,
        RETRIEVAL_TOP_K,
        RETRIEVAL_STATUS,
        DATASET_ID,
        DATASET_IDS,
        RERANK_PROVIDER,
        RERANK_MODEL,
        DOCUMENT_COUNT,
        TOP_SCORE,
        RETRIEVAL_QUERY,
        DOCUMENTS,
        *FOLDED,
    ),
    recordings=(
        Recording(
            REQUESTS,
            Amount.ONE,
            (*OWNER, ("source", RETRIEVAL_SOURCE), ("status", RETRIEVAL_STATUS)),
            (("type", "dataset_retrieval"),),
        ),
        Recording(
            ERRORS,
            Amount.ONE,
            (*OWNER, ("source", RETRIEVAL_SOURCE), CATEGORY),
            (("type", "dataset_retrieval"),),
            When.FAILED,
        ),
        Recording(RETRIEVALS, Amount.ONE, _DATASET),
        Recording(RETRIEVAL_DURATION_METRIC, Amount.DURATION, _DATASET),
    ),
    status=RETRIEVAL_STATUS,
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
        RETRIEVAL_METHOD,
        RETRIEVAL_TOP_K,
        DATASET_ID,
        DOCUMENT_COUNT,
        TOP_SCORE,
        RETRIEVAL_QUERY,
        DOCUMENTS,
        *FOLDED,
    ),
)
