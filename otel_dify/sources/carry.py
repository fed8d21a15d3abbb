"""Context across threads: what Dify starts in a bare thread stays in the trace that started it.

Threads, timers and pools begin without any context. Dify hands them bound methods, which it looks
up in the thread that starts them (``target=self._retriever``). So the method is replaced by a
descriptor: looking it up takes the current context along, and calling it runs there. Where Dify
hands a function to an executor that it keeps, the executor takes the context along.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context import Context
from wrapt import wrap_function_wrapper

from otel_dify.guard import guarded
from otel_dify.operations.current import APART, here
from otel_dify.sources.hooks import lacking

# Module to methods that it hands to threads.
METHODS: dict[str, tuple[str, ...]] = {
    "core.rag.retrieval.dataset_retrieval": (
        "DatasetRetrieval._multiple_retrieve_thread",
        "DatasetRetrieval._retriever",
        "DatasetRetrieval._on_retrieval_end",
    ),
    "core.rag.datasource.retrieval_service": (
        "RetrievalService._retrieve",
        "RetrievalService.keyword_search",
        "RetrievalService.embedding_search",
        "RetrievalService.full_text_index_search",
    ),
    "core.tools.utils.dataset_retriever.dataset_multi_retriever_tool": (
        "DatasetMultiRetrieverTool._retriever",
    ),
    "core.app.task_pipeline.message_cycle_manager": (
        "MessageCycleManager._generate_conversation_name_worker",
    ),
    "core.moderation.output_moderation": ("OutputModeration.worker",),
    "core.base.tts.app_generator_tts_publisher": ("AppGeneratorTTSPublisher._runtime",),
    "core.rag.index_processor.processor.qa_index_processor": (
        "QAIndexProcessor._format_qa_document",
    ),
    "core.indexing_runner": (
        "IndexingRunner._process_chunk",
        "IndexingRunner._process_keyword_index",
    ),
}
# Methods of these that begin late, when what has started their thread may have ended: what they do
# is linked to it, not below it.
LATE = frozenset({"MessageCycleManager._generate_conversation_name_worker"})
# Module to the class whose instances keep an ``executor``.
EXECUTORS = {"core.base.tts.app_generator_tts_publisher": "AppGeneratorTTSPublisher"}


def attach(module: ModuleType) -> None:
    """Replace the methods of a module that it hands to threads."""
    if module.__name__ in EXECUTORS and hasattr(module, EXECUTORS[module.__name__]):
        wrap_function_wrapper(module, f"{EXECUTORS[module.__name__]}.__init__", _on_init)
    for name in METHODS[module.__name__]:
        owner, _, method = name.partition(".")
        found = getattr(module, owner, None)
        if found is None or method not in vars(found):
            lost = "what it runs in a thread of its own may be a trace of its own"
            lacking(f"{module.__name__}.{name}", lost)
            continue
        setattr(found, method, _Carried(vars(found)[method], apart=name in LATE))


def _on_init(wrapped: Callable[..., Any], keeper: Any, args: Any, kwargs: Any) -> Any:
    """Let what an instance hands to its executor run in the context it is made in."""
    made = wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.carry executor"):
        context, submit = here(), keeper.executor.submit

        def carry(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
            return submit(in_context(function, context), *given, **named)

        keeper.executor.submit = carry
    return made


class _Carried:
    """A method that takes the context of where it is looked up to where it is called."""

    def __init__(self, method: Any, *, apart: bool) -> None:
        self._method = method
        self._apart = apart

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        bound = self._method.__get__(instance, owner)
        context = here()
        if not context:
            return bound
        if self._apart:
            context = context_api.set_value(APART, True, context)
        return in_context(bound, context)


def in_context[**P, R](function: Callable[P, R], context: Context) -> Callable[P, R]:
    """Return ``function`` as one that runs in ``context``, whatever thread calls it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        token = context_api.attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            context_api.detach(token)

    return run
