"""Runs an app on graphon, the engine of Dify."""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from graphon.graph.graph import Graph
from graphon.runtime.variable_pool import VariablePool
from pydantic import BaseModel

from examples.host.apps import App
from examples.host.graphon_api import BUILDS_CHILD_ENGINES, V08, Engine, Params, State, events
from examples.host.nodes import NodeFactory
from examples.host.provider import OpenAIRuntime

TENANT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "examples"))


class RunContext(BaseModel):
    """Who runs what; nodes find it under `_dify`, with the fields that Dify's has."""

    tenant_id: str
    app_id: str
    app_name: str
    user_id: str
    user_from: str = "end-user"
    invoke_from: str = "service-api"


class _ExecutionContext:
    """Gives the engine's worker threads the context variables of the thread that built it.

    What Dify hands to graphon before 0.8; since then worker threads start with none.
    """

    def __init__(self) -> None:
        self._variables = contextvars.copy_context()
        self._entered = threading.local()

    def __enter__(self) -> None:
        self._entered.by = self._enter()
        self._entered.by.__enter__()

    def __exit__(self, *args: object) -> None:
        self._entered.by.__exit__(*args)

    @contextmanager
    def _enter(self) -> Iterator[None]:
        for variable, value in self._variables.items():
            variable.set(value)
        yield


@dataclass(frozen=True)
class _ChildEngines:
    """Makes the engine of one iteration item or loop pass, for graphon 0.6."""

    models: OpenAIRuntime

    def build_child_engine(
        self,
        *,
        workflow_id: str,
        graph_init_params: Any,
        parent_graph_runtime_state: Any,
        root_node_id: str,
        variable_pool: VariablePool | None = None,
    ) -> Any:
        """Return an engine for the container's inner graph."""
        state = State(
            variable_pool=variable_pool or parent_graph_runtime_state.variable_pool,
            start_at=time.perf_counter(),
            execution_context=parent_graph_runtime_state.execution_context,
        )
        factory = NodeFactory(graph_init_params, state, self.models)
        return _engine(workflow_id, factory, root_node_id)


def _engine(workflow_id: str, factory: NodeFactory, root_node_id: str) -> Any:
    init: Any = Graph.init
    graph = init(
        graph_config=factory.params.graph_config, node_factory=factory, root_node_id=root_node_id
    )
    if V08:
        return Engine(graph=graph, runtime_state=factory.state)
    extra = {"child_engine_builder": _ChildEngines(factory.models)} if BUILDS_CHILD_ENGINES else {}
    channel = import_module("graphon.graph_engine.command_channels").InMemoryChannel()
    return Engine(
        workflow_id=workflow_id,
        graph=graph,
        graph_runtime_state=factory.state,
        command_channel=channel,
        **extra,
    )


@dataclass(frozen=True)
class Run:
    """One run of an app, ready to start.

    Args:
        app: what is run.
        inputs: the start node's variables.
        user_id: for whom.
        models: who calls the models.
        run_id: the workflow run's id.
    """

    app: App
    inputs: Mapping[str, Any]
    user_id: str
    models: OpenAIRuntime
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def events(self) -> Generator[Any, None, None]:
        """Run it here, on graphon's worker threads, and yield graphon's events.

        The last is the run's end. graphon raises what ended a failed run after telling of it in
        an event; the event is enough.
        """
        failed = False
        try:
            for event in self._engine().run():
                failed = isinstance(event, events.GraphRunFailedEvent)
                yield event
        except Exception:
            if not failed:
                raise

    def _engine(self) -> Any:
        app = self.app
        root = str(app.start["id"])
        context = RunContext(
            tenant_id=TENANT_ID, app_id=app.app_id, app_name=app.name, user_id=self.user_id
        )
        params = Params(
            workflow_id=app.workflow_id,
            graph_config=app.graph,
            run_context={"_dify": context},
            call_depth=0,
        )
        if V08:
            state = State(
                variable_pool=self._variables(root),
                start_at=time.time(),
                workflow_id=app.workflow_id,
            )
        else:
            execution_context: AbstractContextManager[None] = _ExecutionContext()
            state = State(
                variable_pool=self._variables(root),
                start_at=time.perf_counter(),
                execution_context=execution_context,
            )
        return _engine(app.workflow_id, NodeFactory(params, state, self.models), root)

    def _variables(self, root: str) -> VariablePool:
        pool = VariablePool()
        system = {
            "user_id": self.user_id,
            "app_id": self.app.app_id,
            "workflow_id": self.app.workflow_id,
            "workflow_run_id": self.run_id,
            "timestamp": int(time.time()),
        }
        declared = {v["variable"]: v.get("default") for v in self.app.start["data"]["variables"]}
        for scope, values in (
            ("sys", system),
            ("env", self.app.environment),
            (root, {**declared, **self.inputs}),
        ):
            for name, value in values.items():
                pool.add((scope, name), "" if value is None else value)
        return pool
