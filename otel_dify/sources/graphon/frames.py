"""The graphon engine from 0.8 on: ``Engine``, whose containers suspend and resume.

Items of iterations and passes of loops are frames of the same engine. A layer is told the
container's execution a node lies in; which item or pass it is tells the node's runtime state, of
which every frame has its own. An item ends when the last of its nodes has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary, ref

from opentelemetry import context as context_api

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.graphon.described import describe_run
from otel_dify.sources.graphon.dispatching import dispatch_within, watch_workers
from otel_dify.sources.graphon.events import observe_nodes
from otel_dify.sources.graphon.nodes import NodeExecution, part_of
from otel_dify.sources.graphon.run import RunObserver, ends_node
from otel_dify.sources.hooks import hook


def attach(module: ModuleType) -> None:
    """Attach to the engines made from now on.

    Args:
        module: ``graphon.engine.engine``.
    """
    hook(module, "Engine.__init__", _on_init, "runs and their nodes are not seen")
    observe_nodes()
    watch_workers("graphon.engine.worker.worker")


def _on_init(wrapped: Callable[..., None], engine: Any, args: Any, kwargs: Any) -> None:
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.graphon.frames attach"):
        given = dict(zip(("graph", "runtime_state"), args, strict=False)) | kwargs
        graph, state = given["graph"], given["runtime_state"]
        known = describe_run(graph.root_node.workflow_id, graph, state.variable_pool)
        observer = RunObserver(t.RUN, known, context_api.get_current())
        engine.add_layer(_Layer(observer))
        dispatch_within(engine, observer)


class _Frame:
    """One item or pass.

    Attributes:
        operation: its operation.
        container: the execution it belongs to.
        state: the runtime state of its nodes, which goes with the last of them.
        ended_ns: when the last of its nodes ended.
    """

    def __init__(self, operation: Operation, container: NodeExecution, state: Any) -> None:
        self.operation = operation
        self.container = container
        self.state = ref(state)
        self.ended_ns = 0

    def end(self) -> None:
        """End the item or pass with the last of its nodes."""
        self.operation.end(self.ended_ns or None)


_FEW = 64
"""Frames of a container that may be open before one looks for those that are over."""


class _Inside:
    """The frames of one container that have not been ended.

    Those of an iteration are told only to begin. Most are over when the next begin; ended with
    their container only, ten thousand would be held until then.
    """

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._look_at = _FEW

    def add(self, frame: _Frame) -> None:
        """Add one that begins; end those that are over, at times."""
        if len(self._frames) >= self._look_at:
            over = [one for one in self._frames if one.state() is None]
            self._frames = [one for one in self._frames if one.state() is not None]
            self._look_at = 2 * len(self._frames) + _FEW
            for one in over:
                one.end()
        self._frames.append(frame)

    def end(self) -> None:
        """End all of them."""
        for one in self._frames:
            one.end()
        self._frames = []


class _Layer:
    """Passes on what the engine tells its layers, and keeps its frames."""

    def __init__(self, observer: RunObserver) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        # Frames by the runtime state of their nodes, and by execution of their container.
        self._frames: WeakKeyDictionary[Any, _Frame] = WeakKeyDictionary()
        self._inside: dict[str, _Inside] = {}

    def initialize(self, *_: Any, **__: Any) -> None:
        """Take nothing from the engine."""

    @never_raises("otel_dify.sources.graphon.frames start")
    def on_graph_start(self) -> None:
        """Start the run."""
        self._observer.graph_started()

    @never_raises("otel_dify.sources.graphon.frames event")
    def on_event(self, event: Any) -> None:
        """Take an event."""
        if not hasattr(event, "node_id"):
            self._observer.graph_event(event)
            return
        known = self._observer.find(event.id)
        if ends_node(event):
            # Before the container does: what is left out is counted on it.
            inside = self._inside.pop(event.id, None)
            if inside is not None:
                inside.end()
        self._observer.node_event(event)
        if known is not None and known.done:
            frame = self._frames.get(known.node.runtime_state)
            if frame is not None:
                frame.ended_ns = time.time_ns()
                if known.operation.get(t.NODE_STATUS) == "failed":
                    kind = str(known.operation.get(t.ERROR_TYPE))
                    frame.operation.fail(event.error, kind)
                    frame.container.failures.appendleft((event.error, kind))

    @never_raises("otel_dify.sources.graphon.frames end")
    def on_graph_end(self, error: BaseException | None) -> None:
        """End the run and before it every frame that is still open."""
        for inside in self._inside.values():
            inside.end()
        self._inside.clear()
        self._observer.graph_ended(error)

    def node_run_context(
        self, node: Any, *, parent_execution_id: str | None = None
    ) -> AbstractContextManager[None]:
        """Open the frame a node lies in; the node's context is set by ``observe_nodes``."""
        with guarded("otel_dify.sources.graphon.frames frame"):
            container = self._observer.find(parent_execution_id or "")
            if container is not None:
                with self._lock:
                    if node.runtime_state not in self._frames:
                        self._frames[node.runtime_state] = self._open(container, node.runtime_state)
            # Where a run goes on after a pause, its containers do without being started again.
            if _is_container(node) and self._observer.find(node.execution_id) is None:
                self._start(node)
        return nullcontext()

    @never_raises("otel_dify.sources.graphon.frames node start")
    def on_node_run_start(self, node: Any) -> None:
        """Start an attempt of a node."""
        if not _is_container(node):
            self._start(node)

    def _start(self, node: Any) -> None:
        """Start a node in its frame; one of a frame from before a pause lies below the run."""
        frame = self._frames.get(node.runtime_state)
        parent = self._observer.operation if frame is None else frame.operation
        self._observer.node_started(node, parent)

    @never_raises("otel_dify.sources.graphon.frames node end")
    def on_node_run_end(self, node: Any, _error: Any, result: Any = None) -> None:
        """End an attempt of a node."""
        frame = self._frames.get(node.runtime_state)
        if frame is not None:
            frame.ended_ns = time.time_ns()
        self._observer.node_ended(node, result)

    def _open(self, container: NodeExecution, state: Any) -> _Frame:
        """Start an item or pass; a pass ends the one before."""
        inside = self._inside.setdefault(container.node.execution_id, _Inside())
        kind, known = part_of(container.node, state.variable_pool, container.passes)
        container.passes += 1
        if kind is t.PASS:
            inside.end()
        operation = start(kind, known, parent=container.operation.context)
        frame = _Frame(operation, container, state)
        inside.add(frame)
        return frame


def _is_container(node: Any) -> bool:
    return str(getattr(node.execution_type, "value", node.execution_type)) == "container"
