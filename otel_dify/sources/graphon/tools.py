"""Calls of tools by tool nodes: whatever runtime the host gave the node."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from wrapt import ObjectProxy

from otel_dify import table as t
from otel_dify.cleaning.content import Pieces
from otel_dify.guard import guarded
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.hooks import hook
from otel_dify.sources.watch import watch


def attach(module: ModuleType) -> None:
    """Attach to the tool nodes made from now on."""
    hook(module, "ToolNode.__init__", _on_init, "calls of tools by nodes are not seen")


def _on_init(wrapped: Callable[..., None], node: Any, args: Any, kwargs: Any) -> None:
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.graphon.tools attach"):
        node._runtime = _ObservedRuntime(node._runtime, node.node_data)  # noqa: SLF001 - where the node keeps the host's runtime


class _ObservedRuntime(ObjectProxy):  # type: ignore[type-arg] # not generic in wrapt 1
    """The host's runtime of tools, its calls observed."""

    def __init__(self, runtime: Any, node_data: Any) -> None:
        super().__init__(runtime)
        self._self_data = node_data

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Call the tool."""

        def begin() -> Operation:
            operation = start(t.TOOL_CALL, _request(self._self_data))
            operation.set(t.TOOL_INPUTS, kwargs.get("tool_parameters"))
            return operation

        return watch(
            "otel_dify.sources.graphon.tools",
            begin,
            partial(self.__wrapped__.invoke, *args, **kwargs),
            whole=see_result,
            stream=lambda operation: Messages(operation).see,
        )


def see_result(operation: Operation, result: Any) -> None:
    """Take a result that comes at once."""
    operation.set(t.TOOL_OUTPUTS, result)


def _request(data: Any) -> dict[t.Attribute, Any]:
    kind = data.provider_type
    return {
        t.OPERATION_NAME: "execute_tool",
        t.TOOL_NAME: data.tool_name,
        t.TOOL_TYPE: str(getattr(kind, "value", kind)),
        t.TOOL_PROVIDER: data.provider_id,
    }


class Messages:
    """What the messages of a tool tell: texts and JSON; files and blobs are left out."""

    def __init__(self, operation: Operation) -> None:
        self._seen = Pieces()
        operation.set(t.TOOL_OUTPUTS, lambda: self._seen.all)

    def see(self, message: Any) -> None:
        """Look at one message."""
        content = getattr(message, "message", None)
        told = getattr(content, "text", None) or getattr(content, "json_object", None)
        if told is not None:
            self._seen.add(told)
