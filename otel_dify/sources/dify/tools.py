"""Calls of tools in Dify, of every type, by nodes and by agents: where they all pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from otel_dify.sources.calls import plain
from otel_dify.sources.graphon.tools import Messages, see_result
from otel_dify.sources.hooks import hook
from otel_dify.sources.watch import watch

WATCHES = ("core.tools.__base.tool",)


def attach(module: ModuleType) -> None:
    """Attach to the base class of tools."""
    hook(module, "Tool.invoke", _on_invoke, "calls of tools by agents are not seen")


def _on_invoke(wrapped: Callable[..., Any], tool: Any, args: Any, kwargs: Any) -> Any:
    def begin() -> Operation | None:
        identity = tool.entity.identity
        above = current()
        if above is not None and above.kind is t.TOOL_CALL:
            # A tool node has begun this call already (graphon/tools.py); Dify knows more of it.
            above.set(t.TOOL_TYPE, plain(tool.tool_provider_type()))
            return None
        # By name: their order differs (1.16 puts a session first).
        given = inspect.signature(wrapped).bind_partial(*args, **kwargs).arguments
        return start(
            t.TOOL_CALL,
            {
                t.OPERATION_NAME: "execute_tool",
                t.TOOL_NAME: identity.name,
                t.TOOL_PROVIDER: identity.provider,
                t.TOOL_TYPE: plain(tool.tool_provider_type()),
                t.APP_ID: given.get("app_id"),
                t.MESSAGE_ID: given.get("message_id"),
                t.TENANT_ID: getattr(tool.runtime, "tenant_id", None),
                t.TOOL_INPUTS: given.get("tool_parameters"),
            },
        )

    return watch(
        "otel_dify.sources.dify.tools",
        begin,
        partial(wrapped, *args, **kwargs),
        whole=see_result,
        stream=lambda operation: Messages(operation).see,
    )
