"""Pauses: a run that waits for a person goes on later, in another request and perhaps elsewhere.

Dify stores a paused run with its ``extras``, which it hands back to whoever resumes it. Where the
run was left is written there, and the part that goes on links to it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_dify.guard import guarded
from otel_dify.process import process
from otel_dify.sources.dify import requests
from otel_dify.sources.graphon.run import OpenRuns, resumed_from
from otel_dify.sources.hooks import hook

_PAUSE = "core.app.layers.pause_state_persist_layer"
_GENERATORS = {
    "core.app.apps.workflow.app_generator": "WorkflowAppGenerator.resume",
    "core.app.apps.advanced_chat.app_generator": "AdvancedChatAppGenerator.resume",
}
WATCHES = (_PAUSE, *_GENERATORS)

_LOST = "a run that goes on after a pause is not linked to where it was left"
_EXTRA = "otel_dify_traceparent"


def attach(module: ModuleType) -> None:
    """Attach to one of the modules that it watches."""
    name = module.__name__
    if name == _PAUSE:
        hook(module, "PauseStatePersistenceLayer.on_event", _on_event, _LOST)
    else:
        hook(module, _GENERATORS[name], _on_resume, _LOST)


def _on_event(wrapped: Callable[..., Any], layer: Any, args: Any, kwargs: Any) -> Any:
    with guarded("otel_dify.sources.dify.pauses pause"):
        event = args[0] if args else kwargs["event"]
        if type(event).__name__ == "GraphRunPausedEvent":
            run = layer.graph_runtime_state.variable_pool.get(("sys", "workflow_run_id"))
            observer = process.kept(OpenRuns).by_id.get(str(run.value))
            if observer is not None and observer.operation is not None:
                carrier: dict[str, str] = {}
                TraceContextTextMapPropagator().inject(carrier, observer.operation.context)
                layer._generate_entity.extras[_EXTRA] = carrier["traceparent"]  # noqa: SLF001 - what the layer is about to store
    return wrapped(*args, **kwargs)


def _on_resume(wrapped: Callable[..., Any], _generator: Any, args: Any, kwargs: Any) -> Any:
    token = None
    with guarded("otel_dify.sources.dify.pauses resume"):
        entity = kwargs["application_generate_entity"]
        left = TraceContextTextMapPropagator().extract(
            {"traceparent": entity.extras.get(_EXTRA, "")}
        )
        found = trace.get_current_span(left).get_span_context()
        requests.take(entity.extras, found)
        token = resumed_from.set(found) if found.is_valid else None
    try:
        return wrapped(*args, **kwargs)
    finally:
        if token is not None:
            resumed_from.reset(token)
