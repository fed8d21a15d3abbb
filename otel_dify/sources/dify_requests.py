"""What a caller of Dify names: its trace and its session, as Dify itself reads them."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry import trace
from wrapt import wrap_function_wrapper

from otel_dify.guard import guarded
from otel_dify.operations import attributes as a
from otel_dify.operations.operation import current

WATCHES = ("core.helper.trace_id_helper",)

_FUNCTIONS = {
    "get_external_trace_id": a.EXTERNAL_TRACE_ID,
    "get_trace_session_id": a.SESSION_ID,
}


def attach(module: ModuleType) -> None:
    """Attach before the controllers import the functions by name."""
    for function, attribute in _FUNCTIONS.items():
        if hasattr(module, function):
            wrap_function_wrapper(module, function, _taking(attribute))


def _taking(attribute: a.Attribute) -> Callable[..., Any]:
    def run(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        found = wrapped(*args, **kwargs)
        with guarded("otel_dify.sources.dify_requests"):
            operation = current()
            # Dify falls back to the trace that it finds itself in: ours, and no news.
            ours = f"{trace.get_current_span().get_span_context().trace_id:032x}"
            if operation is not None and found != ours:
                operation.set(attribute, found)
        return found

    return run
