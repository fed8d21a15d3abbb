"""Single steps: a node that somebody tries out in the editor, without a run around it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from opentelemetry import context as context_api

from otel_dify import table as t
from otel_dify.guard import failed, guarded
from otel_dify.operations.current import current
from otel_dify.sources.dify import apps
from otel_dify.sources.graphon.nodes import owner_of
from otel_dify.sources.graphon.run import RunObserver
from otel_dify.sources.hooks import hook
from otel_dify.sources.streams import ObservedStream

_ENTRY = "core.workflow.workflow_entry"
_SERVICE = "services.workflow_service"
WATCHES = (_ENTRY, _SERVICE)
_STEP = "WorkflowEntry._traced_node_run"


def attach(module: ModuleType) -> None:
    """Attach to where the editor's node is run."""
    if module.__name__ == _SERVICE:
        lost = "nodes that are tried out in the editor have no name of their app"
        hook(module, "WorkflowService.run_draft_workflow_node", _on_service, lost)
    else:
        hook(module, _STEP, _on_step, "nodes that are tried out in the editor are not seen")


def _on_service(wrapped: Callable[..., Any], _service: Any, args: Any, kwargs: Any) -> Any:
    """Learn the app whose node is tried out."""
    with guarded("otel_dify.sources.dify.steps service"):
        apps.learn(kwargs.get("app_model") or args[0])
    return wrapped(*args, **kwargs)


def _on_step(wrapped: Callable[..., Any], _entry: Any, args: Any, kwargs: Any) -> Any:
    events = wrapped(*args, **kwargs)
    request = current()
    try:
        node = args[0] if args else kwargs["node"]
        owner = owner_of(node.run_context)
        if request is None:
            return events
        for attribute, name in (
            (t.TENANT_ID, "tenant_id"),
            (t.APP_ID, "app_id"),
            (t.USER_ID, "user_id"),
        ):
            request.set(attribute, owner.get(name))
        observer = RunObserver(t.RUN, {}, context_api.get_current(), node_kind=t.DRAFT_NODE)
        observer.node_started(node, request)
        known = observer.find(node.execution_id)
    except Exception as error:  # noqa: BLE001 - the step must go on without its operation
        failed("otel_dify.sources.dify.steps start", error)
        return events
    if known is None:
        return events

    def see(event: Any) -> None:
        observer.node_event(event)
        if known.done:
            with guarded("otel_dify.sources.dify.steps end"):
                observer.node_ended(node, event)

    return ObservedStream(events, known.operation, see)
