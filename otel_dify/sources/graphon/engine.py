"""The graphon engine up to 0.7: ``GraphEngine``, its layers, and child engines.

Each item of an iteration and each pass of a loop is run by a child engine, which does not inherit
its parent's layers. So a layer of ours is added to every engine that is made, and an engine that
the runtime state makes for a container is told from its root node which container it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

from opentelemetry import context as context_api

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.process import process
from otel_dify.sources.graphon.described import describe_run
from otel_dify.sources.graphon.dispatching import dispatch_within, watch_workers
from otel_dify.sources.graphon.events import observe_nodes
from otel_dify.sources.graphon.nodes import NodeExecution, part_of
from otel_dify.sources.graphon.run import RunObserver
from otel_dify.sources.hooks import hook


class _Observers:
    """The observers of this process's engines.

    Attributes:
        by_state: by identity of the engine's runtime state; both live and die with the engine.
    """

    def __init__(self) -> None:
        self.by_state: WeakValueDictionary[int, RunObserver] = WeakValueDictionary()


# The container that a child engine is being made for, and its variables; no container where its run
# has ended, which a container that still works may not have noticed.
_container: ContextVar[tuple[NodeExecution | None, Any] | None] = ContextVar(
    "otel_dify.container", default=None
)


def attach(module: ModuleType) -> None:
    """Attach to the engines made from now on.

    Args:
        module: ``graphon.graph_engine.graph_engine``.
    """
    hook(module, "GraphEngine.__init__", _on_init, "runs and their nodes are not seen")
    hook(
        "graphon.runtime.graph_runtime_state",
        "GraphRuntimeState.create_child_engine",
        _on_child,
        "items of iterations and passes of loops are taken for runs",
    )
    observe_nodes()
    watch_workers("graphon.graph_engine.worker")


class _Layer:
    """Passes on what an engine tells its layers."""

    def __init__(self, observer: RunObserver) -> None:
        self.observer = observer

    def initialize(self, *_: Any, **__: Any) -> None:
        """Take nothing from the engine."""

    @never_raises("otel_dify.sources.graphon.engine start")
    def on_graph_start(self) -> None:
        """Start the run."""
        self.observer.graph_started()

    @never_raises("otel_dify.sources.graphon.engine event")
    def on_event(self, event: Any) -> None:
        """Take an event."""
        if hasattr(event, "node_id"):
            self.observer.node_event(event)
        else:
            self.observer.graph_event(event)

    @never_raises("otel_dify.sources.graphon.engine end")
    def on_graph_end(self, error: BaseException | None) -> None:
        """End the run."""
        self.observer.graph_ended(error)

    @never_raises("otel_dify.sources.graphon.engine node start")
    def on_node_run_start(self, node: Any) -> None:
        """Start a node."""
        self.observer.node_started(node, self.observer.operation)

    @never_raises("otel_dify.sources.graphon.engine node end")
    def on_node_run_end(self, node: Any, _error: Any, result: Any = None) -> None:
        """End an attempt of a node."""
        self.observer.node_ended(node, result)


def _on_init(wrapped: Callable[..., None], engine: Any, args: Any, kwargs: Any) -> None:
    wrapped(*args, **kwargs)
    with guarded("otel_dify.sources.graphon.engine attach"):
        names = ("workflow_id", "graph", "graph_runtime_state")
        given = dict(zip(names, args, strict=False)) | kwargs
        state = given["graph_runtime_state"]
        child = _container.get()
        if child is None:
            known = describe_run(given["workflow_id"], given["graph"], state.variable_pool)
            observer = RunObserver(t.RUN, known, context_api.get_current())
        elif child[0] is None:
            return
        else:
            observer = _part_of(child[0], child[1])
        process.kept(_Observers).by_state[id(state)] = observer
        engine.layer(_Layer(observer))
        dispatch_within(engine, observer)


def _part_of(container: NodeExecution, variable_pool: Any) -> RunObserver:
    """Observe one item or pass of a container."""
    kind, known = part_of(container.node, variable_pool, container.passes)
    container.passes += 1
    return RunObserver(kind, known, container.operation.context, container.failures)


def _on_child(wrapped: Callable[..., Any], state: Any, args: Any, kwargs: Any) -> Any:
    token = None
    with guarded("otel_dify.sources.graphon.engine child"):
        container = _find(process.kept(_Observers).by_state.get(id(state)), kwargs["root_node_id"])
        pool = kwargs.get("variable_pool") or state.variable_pool
        token = _container.set((container, pool))
    try:
        return wrapped(*args, **kwargs)
    finally:
        if token is not None:
            _container.reset(token)


def _find(observer: RunObserver | None, root_node_id: str) -> NodeExecution | None:
    """Find the open container that a child engine's root node belongs to."""
    if observer is None:
        return None
    return next(
        (
            execution
            for execution in observer.open_nodes()
            if getattr(execution.node.node_data, "start_node_id", None) == root_node_id
        ),
        None,
    )
