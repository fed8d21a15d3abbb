"""Retrieval: the retrieval of an app or node, and in it the search of each data set by each method.

The searches never raise: they append their errors to a list that they are given, and a failed one
may end in a run that succeeds without documents. Here it is a failed operation all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain

_APPS = "core.rag.retrieval.dataset_retrieval"
_SETS = "core.rag.datasource.retrieval_service"
WATCHES = (_APPS, _SETS)


def attach(module: ModuleType) -> None:
    """Attach to one of the modules that it watches."""
    if module.__name__ == _APPS:
        attach_calls(
            module,
            Call("DatasetRetrieval.knowledge_retrieval", t.RETRIEVAL, _node, _sources),
            Call("DatasetRetrieval.retrieve", t.RETRIEVAL, _app),
        )
    else:
        attach_calls(
            module,
            Call("RetrievalService.retrieve", t.RETRIEVAL, _data_set, _documents),
            Call(
                "RetrievalService.keyword_search",
                t.SEARCH,
                lambda given: _search(given, "keyword"),
                _searched,
            ),
            Call(
                "RetrievalService.embedding_search",
                t.SEARCH,
                lambda given: _search(given, "vector"),
                _searched,
            ),
            Call(
                "RetrievalService.full_text_index_search",
                t.SEARCH,
                lambda given: _search(given, "full_text"),
                _searched,
            ),
        )


def _node(given: Arguments) -> Mapping[t.Attribute, object]:
    request = given["request"]
    return {
        t.OPERATION_NAME: "retrieval",
        t.RETRIEVAL_SOURCE: "knowledge",
        t.DATASET_IDS: list(request.dataset_ids),
        t.RETRIEVAL_QUERY: request.query,
        t.TENANT_ID: request.tenant_id,
        t.APP_ID: request.app_id,
    }


def _app(given: Arguments) -> Mapping[t.Attribute, object]:
    return {
        t.OPERATION_NAME: "retrieval",
        t.RETRIEVAL_SOURCE: "knowledge",
        t.DATASET_IDS: list(given["config"].dataset_ids),
        t.RETRIEVAL_QUERY: given.get("query"),
        t.TENANT_ID: given.get("tenant_id"),
        t.APP_ID: given.get("app_id"),
        t.MESSAGE_ID: given.get("message_id"),
    }


def _data_set(given: Arguments) -> Mapping[t.Attribute, object]:
    rerank = given.get("reranking_model") or {}
    return {
        t.OPERATION_NAME: "retrieval",
        t.RETRIEVAL_SOURCE: "dataset",
        t.DATASET_ID: given.get("dataset_id"),
        t.RETRIEVAL_METHOD: plain(given.get("retrieval_method")),
        t.RETRIEVAL_TOP_K: given.get("top_k"),
        t.RERANK_PROVIDER: rerank.get("reranking_provider_name"),
        t.RERANK_MODEL: rerank.get("reranking_model_name"),
        t.RETRIEVAL_QUERY: given.get("query"),
    }


def _search(given: Arguments, method: str) -> Mapping[t.Attribute, object]:
    return {
        t.DATASET_ID: given.get("dataset_id"),
        t.RETRIEVAL_METHOD: method,
        t.RETRIEVAL_TOP_K: given.get("top_k"),
        t.RETRIEVAL_QUERY: given.get("query"),
        # How many there were before; the searches of a data set share the list.
        t.DOCUMENT_COUNT: len(given["all_documents"]),
    }


def _searched(operation: Operation, _result: Any, given: Arguments) -> None:
    before = operation.get(t.DOCUMENT_COUNT)
    found = given["all_documents"][before if isinstance(before, int) else 0 :]
    _see(operation, found)
    if given["exceptions"]:
        operation.fail(str(given["exceptions"][-1]), "SearchError")


def _documents(operation: Operation, result: Any, _given: Arguments) -> None:
    _see(operation, result or [])


def _see(operation: Operation, documents: Sequence[Any]) -> None:
    operation.set(t.DOCUMENT_COUNT, len(documents))
    scores = [
        float(score) for document in documents if (score := (document.metadata or {}).get("score"))
    ]
    if scores:
        operation.set(t.TOP_SCORE, max(scores))
    operation.set(
        t.DOCUMENTS,
        lambda: [
            {"content": document.page_content, "metadata": document.metadata}
            for document in documents
        ],
    )


def _sources(operation: Operation, result: Any, _given: Arguments) -> None:
    operation.set(t.DOCUMENT_COUNT, len(result))
    operation.set(t.DOCUMENTS, lambda: [source.model_dump(mode="json") for source in result])
