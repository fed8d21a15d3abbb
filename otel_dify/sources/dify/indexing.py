"""Indexing of documents, phase by phase: extract, split, save, load (which embeds)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import Arguments, Call, attach_calls, plain

WATCHES = ("core.indexing_runner",)

_PHASES = {
    "_extract": "extract",
    "_transform": "split",
    "_load_segments": "save",
    "_load": "load",
}


def attach(module: ModuleType) -> None:
    """Attach to the runner of indexing."""
    attach_calls(
        module,
        *(
            Call(f"IndexingRunner.{function}", t.INDEXING, _describe(phase), _count)
            for function, phase in _PHASES.items()
        ),
        Call("IndexingRunner._handle_indexing_error", t.INDEXING_ERROR, _failed, _fail),
    )


def _describe(phase: str) -> Callable[[Arguments], Mapping[t.Attribute, object]]:
    def describe(given: Arguments) -> Mapping[t.Attribute, object]:
        document = given.get("dataset_document")
        dataset = given.get("dataset")
        return {
            t.INDEXING_PHASE: phase,
            t.TENANT_ID: getattr(document or dataset, "tenant_id", None),
            t.DATASET_ID: getattr(document, "dataset_id", None) or getattr(dataset, "id", None),
            t.DOCUMENT_ID: getattr(document, "id", None),
            t.DOCUMENT_SOURCE: plain(getattr(document, "data_source_type", None)),
            t.DOCUMENT_COUNT: len(given["documents"]) if "documents" in given else None,
        }

    return describe


def _count(operation: Operation, result: Any, _given: Arguments) -> None:
    if isinstance(result, list):
        operation.set(t.DOCUMENT_COUNT, len(result))


def _failed(given: Arguments) -> Mapping[t.Attribute, object]:
    return {t.DOCUMENT_ID: given.get("document_id")}


def _fail(operation: Operation, _result: Any, given: Arguments) -> None:
    """The runner swallows what a document fails with; here is where it comes to."""
    operation.fail(given["error"])
