"""Calls of tools by tool nodes: whatever runtime the host gave the node."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from wrapt import ObjectProxy

from otel_dify.guard import failed, guarded
from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import TOOL_CALL
from otel_dify.operations.lifecycle import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.hooks import hook
from otel_dify.sources.streams import observe


def attach(module: ModuleType) -> None:
    """Attach to the tool nodes made from now on."""
    hook(module, "ToolNode.__init__", _on_init, "calls of tools by nodes are not seen")


def _on_init(wrapped: Callable[..., None], node: Any, args: Any, kwargs: Any) -> None:
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.tools attach"):
        node._runtime = _ObservedRuntime(node._runtime, node.node_data)  # noqa: SLF001 - where the node keeps the host's runtime


class _ObservedRuntime(ObjectProxy):  # type: ignore[type-arg] # not generic in wrapt 1
    """The host's runtime of tools, its calls observed."""

    def __init__(self, runtime: Any, node_data: Any) -> None:
        super().__init__(runtime)
        self._self_data = node_data

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool."""
        call = partial(self.__wrapped__.invoke, *args, **kwargs)
        try:
            operation = start(TOOL_CALL, _request(self._self_data))
            operation.set(a.TOOL_INPUTS, kwargs.get("tool_parameters"))
        except Exception as error:  # noqa: BLE001 - the call must go on without its operation
            failed("otel_dify.sources.tools start", error)
            return call()
        return observe(
            operation,
            "otel_dify.sources.tools",
            call,
            whole=partial(operation.set, a.TOOL_OUTPUTS),
            stream=lambda: Messages(operation).see,
        )


def _request(data: Any) -> dict[a.Attribute, Any]:
    kind = data.provider_type
    return {
        a.OPERATION_NAME: "execute_tool",
        a.TOOL_NAME: data.tool_name,
        a.TOOL_TYPE: str(getattr(kind, "value", kind)),
        a.TOOL_PROVIDER: data.provider_id,
    }


class Messages:
    """What the messages of a tool tell: texts and JSON; files and blobs are left out."""

    def __init__(self, operation: Operation) -> None:
        self._seen: list[Any] = []
        operation.set(a.TOOL_OUTPUTS, lambda: self._seen)

    def see(self, message: Any) -> None:
        """Look at one message."""
        content = getattr(message, "message", None)
        told = getattr(content, "text", None) or getattr(content, "json_object", None)
        if told is not None:
            self._seen.append(told)
