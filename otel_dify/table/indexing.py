"""Indexing of documents, phase by phase."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import CATEGORY, ERRORS
from otel_dify.table.instrument import RUN_BUCKETS, Amount, Instrument, Recording, When
from otel_dify.table.kind import Kind, happening
from otel_dify.table.lifecycle import TENANT
from otel_dify.table.queries import FOLDED
from otel_dify.table.retrieval import DATASET_ID, DOCUMENT_COUNT

DOCUMENT_ID = define("dify.document.id", "string", "Document of a data set")
DOCUMENT_SOURCE = define("dify.document.source", "string", "`upload_file`, `website_crawl`, …")
INDEXING_PHASE = define("dify.indexing.phase", "string", "`extract`, `split`, `save` or `load`")
INDEXING_STATUS = define("dify.indexing.status", "string", "`succeeded` or `failed`")
INDEXING_DURATION_METRIC = Instrument(
    "dify.indexing.duration", "histogram", "s", "Duration of indexing, by phase", RUN_BUCKETS
)
_INDEXING = (*TENANT, ("dataset_id", DATASET_ID))
INDEXING = Kind(
    name="indexing",
    doc="One phase of indexing a document.",
    span_name="index {dify.indexing.phase}",
    span_kind=SpanKind.INTERNAL,
    below=("task",),
    attributes=(
        INDEXING_PHASE,
        INDEXING_STATUS,
        DATASET_ID,
        DOCUMENT_ID,
        DOCUMENT_SOURCE,
        DOCUMENT_COUNT,
        *FOLDED,
    ),
    recordings=(
        Recording(
            INDEXING_DURATION_METRIC,
            Amount.DURATION,
            (*_INDEXING, ("phase", INDEXING_PHASE), ("status", INDEXING_STATUS)),
        ),
        Recording(ERRORS, Amount.ONE, (*_INDEXING, CATEGORY), (("type", "document"),), When.FAILED),
    ),
    status=INDEXING_STATUS,
    event="dify.document.indexing",
    subject="indexing ({dify.indexing.phase}) of document {dify.document.id}",
)
INDEXING_ERROR = happening(
    "indexing error",
    "A document cannot be indexed.",
    "dify.document.indexing_error",
    sentence=("document {dify.document.id}", "could not be indexed"),
    below=("task",),
    attributes=(DOCUMENT_ID, *FOLDED),
)
