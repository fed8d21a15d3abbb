"""Who calls Dify: the API key, and the trace and session that a caller names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanContext

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.current import current
from otel_dify.sources.hooks import has, hook

_NAMED = "core.helper.trace_id_helper"
_KEYS = "controllers.service_api.wraps"
WATCHES = (_NAMED, _KEYS)

_NAMES = {"external_trace_id": t.EXTERNAL_TRACE_ID, "trace_session_id": t.SESSION_ID}


def attach(module: ModuleType) -> None:
    """Attach before the controllers import the functions by name."""
    if module.__name__ == _KEYS:
        lost = f"requests do not have {t.API_KEY_ID.key}, and those that are refused no app"
        hook(module, "validate_and_get_api_token", _on_key, lost)
        return
    for name, attribute in _NAMES.items():
        # Dify 1.13 has no sessions.
        if attribute is t.SESSION_ID and not has(module, f"get_{name}"):
            continue
        hook(module, f"get_{name}", _taking(name), f"requests do not have {attribute.key}")


def _on_key(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
    token = wrapped(*args, **kwargs)
    _called_by(token)
    return token


@never_raises("otel_dify.sources.dify.requests key")
def _called_by(token: Any) -> None:
    """Take whose key has called from its row, or from what Dify has cached of it."""
    operation = current()
    if operation is not None:
        # Not by `getattr`: of a row it could ask the database.
        known = vars(token)
        operation.set(t.API_KEY_ID, known.get("id"))
        operation.set(t.TENANT_ID, known.get("tenant_id"))
        operation.set(t.APP_ID, known.get("app_id"))


def take(known: Mapping[str, object], left: SpanContext | None = None) -> None:
    """Set on the current operation what a caller named.

    Args:
        known: what Dify hands along of it: arguments of an app, or what it stores of a run.
        left: where the run was left that goes on.
    """
    operation = current()
    if operation is None:
        return
    # Dify falls back to the trace that it finds itself in: ours, and no news.
    contexts = (trace.get_current_span().get_span_context(), left)
    ours = {f"{context.trace_id:032x}" for context in contexts if context is not None}
    for name, attribute in _NAMES.items():
        value = known.get(name)
        if value not in ours:
            operation.set(attribute, value)


def _taking(name: str) -> Callable[..., Any]:
    def run(wrapped: Callable[..., Any], _instance: Any, args: Any, kwargs: Any) -> Any:
        found = wrapped(*args, **kwargs)
        with guarded("otel_dify.sources.dify.requests"):
            take({name: found})
        return found

    return run
