"""Calls of tools in Dify, of every type, by nodes and by agents: where they all pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from otel_dify.guard import failed
from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import TOOL_CALL
from otel_dify.operations.lifecycle import current, start
from otel_dify.sources.calls import plain
from otel_dify.sources.hooks import hook
from otel_dify.sources.streams import observe
from otel_dify.sources.tools import Messages

WATCHES = ("core.tools.__base.tool",)


def attach(module: ModuleType) -> None:
    """Attach to the base class of tools."""
    hook(module, "Tool.invoke", _on_invoke, "calls of tools by agents are not seen")


def _on_invoke(wrapped: Callable[..., Any], tool: Any, args: Any, kwargs: Any) -> Any:
    try:
        identity = tool.entity.identity
        above = current()
        if above is not None and above.kind is TOOL_CALL:
            # A tool node has begun this call already (tools.py); Dify knows more of it.
            above.set(a.TOOL_TYPE, plain(tool.tool_provider_type()))
            return wrapped(*args, **kwargs)
        # By name: their order differs (1.16 puts a session first).
        given = inspect.signature(wrapped).bind_partial(*args, **kwargs).arguments
        operation = start(
            TOOL_CALL,
            {
                a.OPERATION_NAME: "execute_tool",
                a.TOOL_NAME: identity.name,
                a.TOOL_PROVIDER: identity.provider,
                a.TOOL_TYPE: plain(tool.tool_provider_type()),
                a.APP_ID: given.get("app_id"),
                a.MESSAGE_ID: given.get("message_id"),
                a.TENANT_ID: getattr(tool.runtime, "tenant_id", None),
                a.TOOL_INPUTS: given.get("tool_parameters"),
            },
        )
    except Exception as error:  # noqa: BLE001 - the call must go on without its operation
        failed("otel_dify.sources.dify_tools start", error)
        return wrapped(*args, **kwargs)
    return observe(
        operation,
        "otel_dify.sources.dify_tools",
        partial(wrapped, *args, **kwargs),
        whole=partial(operation.set, a.TOOL_OUTPUTS),
        stream=lambda: Messages(operation).see,
    )
