"""What a run of the engine is, and whose: what is known of it when it begins."""

from __future__ import annotations

from typing import Any

from otel_dify import table as t
from otel_dify.sources.dify import apps
from otel_dify.sources.graphon.nodes import owner_of


def describe_run(workflow_id: str, graph: Any, variable_pool: Any) -> dict[t.Attribute, object]:
    """Collect what a run is: from the system variables, and from the context Dify passes along."""
    dify = owner_of(graph.root_node.run_context)
    invoked = dify.get("invoke_from")
    app = dify.get("app_id")

    def system(name: str) -> object:
        variable = variable_pool.get(("sys", name))
        return None if variable is None else variable.value

    return {
        t.OPERATION_TYPE: "workflow",
        t.WORKFLOW_ID: workflow_id,
        t.RUN_ID: system("workflow_run_id"),
        t.TENANT_ID: dify.get("tenant_id"),
        t.APP_ID: app or system("app_id"),
        t.APP_NAME: dify.get("app_name") or apps.app_of(app).name,
        t.APP_MODE: apps.app_of(app).mode,
        t.WORKFLOW_VERSION: apps.version_of(workflow_id),
        t.USER_ID: dify.get("user_id") or system("user_id"),
        t.INVOKE_FROM: str(getattr(invoked, "value", invoked or "")),
        t.CONVERSATION_ID: system("conversation_id"),
    }
