"""Events of a node, made while the node's operation is the current one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from importlib import import_module
from typing import Any

from opentelemetry import context as context_api

from otel_dify.sources.hooks import has, hook

SLOT = "_otel_dify_operation"
"""Where a node that is about to run finds its operation."""
_NODES = "graphon.nodes.base.node"


def observe_nodes() -> None:
    """Make each node's operation the current one while the node runs."""
    lost = "what nodes do lies below their run, not below them"
    there = hook(_NODES, "Node.run", _on_run, lost)
    # Only nodes of 0.8 and later are resumed.
    if there and has(import_module(_NODES), "Node.resume_container"):
        hook(_NODES, "Node.resume_container", _on_run, lost)


def _on_run(wrapped: Any, node: Any, args: Any, kwargs: Any) -> Generator[Any, Any, Any]:
    return _Events(wrapped(*args, **kwargs), node)


class _Events(Generator[Any, Any, Any]):
    """The events of a node, each fetched with the node's operation as the current one.

    Engines of 0.8 make the generator before they report the start of the node, so its operation
    is looked up with each event.
    """

    def __init__(self, events: Generator[Any, Any, Any], node: Any) -> None:
        self._events = events
        self._node = node

    def _fetch(self, step: Callable[..., Any], *given: Any) -> Any:
        operation = self._node.__dict__.get(SLOT)
        if operation is None:
            return step(*given)
        token = context_api.attach(operation.context)
        try:
            return step(*given)
        finally:
            context_api.detach(token)

    def send(self, value: Any) -> Any:
        """Send a value in and return the next event."""
        return self._fetch(self._events.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception where the node is suspended and return the next event."""
        return self._fetch(self._events.throw, *error)

    def close(self) -> None:
        """Close the node's generator."""
        self._fetch(self._events.close)
