"""Graphs built in code, the same shapes on every version of graphon.

What differs between the versions (modules, constructors, containers) is hidden here. A graph is
a list of nodes and edges as in Dify's DSL; ``run`` executes it on the engine of the installed
graphon and tells what came out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from otel_dify.sources import registry

# Before any of it is imported, as in a process of Dify.
for _source in ("dify_graphon", "dify_models", "dify_tools"):
    registry.attach(_source)

GRAPHON = tuple(int(part) for part in version("graphon").split(".")[:2])
FRAMES = GRAPHON >= (0, 8)
"""Whether containers are frames of one engine, not engines of their own."""


def load(module: str, name: str) -> Any:
    """Import a name of graphon, untyped: it is not the same in every version."""
    return getattr(import_module(f"graphon.{module}"), name)


Engine: Any = (
    load("engine.engine", "Engine") if FRAMES else load("graph_engine.graph_engine", "GraphEngine")
)
Graph: Any = load("graph.graph", "Graph")
Node: Any = load("nodes.base.node", "Node")
BaseNodeData: Any = load("entities.base_node_data", "BaseNodeData")
NodeRunResult: Any = load("node_events.base", "NodeRunResult")
Status: Any = load("enums", "WorkflowNodeExecutionStatus")
Pool: Any = load("runtime.variable_pool", "VariablePool")
State: Any = (
    load("runtime.runtime_state", "RuntimeState")
    if FRAMES
    else load("runtime.graph_runtime_state", "GraphRuntimeState")
)
InitParams: Any = (
    load("runtime.init_params", "InitParams")
    if FRAMES
    else load("entities.graph_init_params", "GraphInitParams")
)

_CLASSES: dict[str, Any] = {
    "start": load("nodes.start.start_node", "StartNode"),
    "end": load("nodes.end.end_node", "EndNode"),
    "answer": load("nodes.answer.answer_node", "AnswerNode"),
    "if-else": load("nodes.if_else.if_else_node", "IfElseNode"),
    "template-transform": load(
        "nodes.template_transform.template_transform_node", "TemplateTransformNode"
    ),
    "iteration": load("nodes.iteration.iteration_node", "IterationNode"),
    "iteration-start": load("nodes.iteration.iteration_start_node", "IterationStartNode"),
    "loop": load("nodes.loop.loop_node", "LoopNode"),
    "loop-start": load("nodes.loop.loop_start_node", "LoopStartNode"),
    "loop-end": load("nodes.loop.loop_end_node", "LoopEndNode"),
    "tool": load("nodes.tool.tool_node", "ToolNode"),
    "llm": load("nodes.llm.node", "LLMNode"),
    "question-classifier": load(
        "nodes.question_classifier.question_classifier_node", "QuestionClassifierNode"
    ),
}

type Work = Callable[[Any], Any]
"""What a scripted node does: gets the node; returns its outputs, or yields the node's events."""


class _ScriptData(BaseNodeData):  # type: ignore[misc] # graphon is untyped here
    type: str = "script"


class Script(Node[_ScriptData]):  # type: ignore[misc] # graphon is untyped here
    """A node that does what the test says: for what no real node does without a host."""

    node_type = "script"
    work: Work

    @classmethod
    def version(cls) -> str:
        """Return the version the registry of nodes asks for."""
        return "1"

    @property
    def retry(self) -> bool:
        """Whether failed attempts are repeated."""
        return bool(self.node_data.retry_config.retry_enabled)

    @staticmethod
    def succeeded(**given: Any) -> Any:
        """Make a result that succeeded."""
        return NodeRunResult(status=Status.SUCCEEDED, **given)

    @staticmethod
    def failed(**given: Any) -> Any:
        """Make a result that failed."""
        return NodeRunResult(status=Status.FAILED, error="failed", error_type="Failed", **given)

    @property
    def pool(self) -> Any:
        """The variables of the run."""
        return (self.runtime_state if FRAMES else self.graph_runtime_state).variable_pool

    def _run(self) -> Any:
        result = self.work(self)
        if isinstance(result, Generator | NodeRunResult):
            return result
        return NodeRunResult(status=Status.SUCCEEDED, outputs=result)


_CLASSES["script"] = Script


class Template:
    """Stands for Jinja: fills ``{{ name }}``."""

    def render_template(self, template: str, variables: Mapping[str, Any], **_: Any) -> str:
        """Fill a template."""
        for name, value in variables.items():
            template = template.replace("{{ " + name + " }}", str(value))
        return template


@dataclass
class Shape:
    """A graph: nodes and edges as the DSL writes them, and what its nodes need to run.

    Attributes:
        work: what scripted nodes do, by node id.
        extra: constructor arguments of nodes, by node type.
    """

    nodes: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    work: dict[str, Work] = field(default_factory=dict)
    extra: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "template-transform": {"jinja2_template_renderer": Template()},
        }
    )

    def node(self, name: str, kind: str, *, inside: str = "", **data: Any) -> Shape:
        """Add a node; its title is its name.

        Args:
            name: its id.
            kind: its type.
            inside: the container it lies in.
            data: the rest of its data.
        """
        data = {"type": kind, "title": name, **data}
        if inside:
            container = next(node for node in self.nodes if node["id"] == inside)
            data[f"{container['data']['type']}_id"] = inside
        self.nodes.append({"id": name, "data": data})
        return self

    def script(self, name: str, work: Work, *, inside: str = "", **data: Any) -> Shape:
        """Add a scripted node."""
        self.work[name] = work
        return self.node(name, "script", inside=inside, **data)

    def start(self) -> Shape:
        """Add the start node."""
        return self.node("start", "start", variables=[])

    def end(self, name: str = "end", **outputs: tuple[str, str]) -> Shape:
        """Add an end node that outputs variables by their selectors."""
        return self.node(
            name,
            "end",
            outputs=[
                {"variable": variable, "value_type": "any", "value_selector": list(selector)}
                for variable, selector in outputs.items()
            ],
        )

    def edge(self, source: str, target: str, handle: str = "source") -> Shape:
        """Connect two nodes."""
        self.edges.append(
            {
                "id": f"{source}-{handle}-{target}",
                "source": source,
                "target": target,
                "sourceHandle": handle,
            }
        )
        return self

    def chain(self, *names: str) -> Shape:
        """Connect nodes one after the other."""
        for source, target in pairwise(names):
            self.edge(source, target)
        return self

    def iteration(self, name: str, over: tuple[str, str], inside: str = "", **data: Any) -> Shape:
        """Add an iteration with its entry point ``{name}-start``; ``over`` selects the list.

        ``output_selector`` is to be given.
        """
        self.node(
            name,
            "iteration",
            inside=inside,
            start_node_id=f"{name}-start",
            iterator_selector=list(over),
            **data,
        )
        return self.node(f"{name}-start", "iteration-start", inside=name)

    def loop(self, name: str, count: int, inside: str = "", **data: Any) -> Shape:
        """Add a loop with its entry point ``{name}-start``."""
        given = {"break_conditions": [], "logical_operator": "and", "loop_variables": []} | data
        self.node(
            name,
            "loop",
            inside=inside,
            start_node_id=f"{name}-start",
            loop_count=count,
            outputs={},
            **given,
        )
        return self.node(f"{name}-start", "loop-start", inside=name)


class _Factory:
    """Makes the nodes of a graph, as a host does."""

    def __init__(self, shape: Shape, params: Any, state: Any) -> None:
        self._shape = shape
        self._params = params
        self._state = state

    def with_runtime_state(self, state: Any) -> _Factory:
        """Make nodes for another frame."""
        return _Factory(self._shape, self._params, state)

    def with_graph_config(self, graph_config: Mapping[str, Any]) -> _Factory:
        """Make nodes that see another part of the graph."""
        params = self._params.model_copy(update={"graph_config": graph_config})
        return _Factory(self._shape, params, self._state)

    def validate_node(self, node_config: Any) -> Any:
        """Check a node's data, without making it."""
        known = _CLASSES[node_config["data"].type]
        known.validate_node_data(node_config["data"])
        return known.execution_type

    def create_node(self, node_config: Any) -> Any:
        """Make a node."""
        name, data = node_config["id"], node_config["data"]
        known = _CLASSES[data.type]
        extra = self._shape.extra.get(data.type, {})
        if GRAPHON < (0, 2):
            made = known(
                id=name,
                config=node_config,
                graph_init_params=self._params,
                graph_runtime_state=self._state,
                **extra,
            )
        else:
            prefix = "" if FRAMES else "graph_"
            made = known(
                node_id=name,
                data=known.validate_node_data(data),
                **{f"{prefix}init_params": self._params, f"{prefix}runtime_state": self._state},
                **extra,
            )
        if isinstance(made, Script):
            made.work = self._shape.work[name]
        return made


class _Children:
    """Builds the engines of containers (up to graphon 0.7), as Dify does."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape

    def build_child_engine(
        self,
        *,
        workflow_id: str,
        graph_init_params: Any,
        parent_graph_runtime_state: Any,
        root_node_id: str,
        variable_pool: Any = None,
    ) -> Any:
        """Build the engine of an item or pass."""
        state = State(
            variable_pool=variable_pool
            if variable_pool is not None
            else parent_graph_runtime_state.variable_pool,
            start_at=time.perf_counter(),
            execution_context=parent_graph_runtime_state.execution_context,
        )
        graph = Graph.init(
            graph_config=graph_init_params.graph_config,
            node_factory=_Factory(self._shape, graph_init_params, state),
            root_node_id=root_node_id,
        )
        return Engine(
            workflow_id=workflow_id,
            graph=graph,
            graph_runtime_state=state,
            command_channel=_channel(),
            child_engine_builder=_Children(self._shape),
        )


def _channel() -> Any:
    if FRAMES:
        return load("engine.command.builtin.in_memory", "InMemoryChannel")()
    return load("graph_engine.command_channels.in_memory_channel", "InMemoryChannel")()


RUN_ID = "5f0f7a52-0000-4000-8000-000000000001"
DIFY = {"tenant_id": "tenant-1", "app_id": "app-1", "user_id": "user-1", "invoke_from": "debugger"}
"""What Dify's run context holds."""


def engine(
    shape: Shape,
    inputs: Mapping[str, Any] | None = None,
    *,
    run_id: str = RUN_ID,
    snapshot: str | None = None,
) -> Any:
    """Build the engine of a run.

    Args:
        shape: the graph.
        inputs: values of the start node's variables.
        run_id: id of the run.
        snapshot: state of a paused run to go on with (``state(...).dumps()``).
    """
    config = {"nodes": shape.nodes, "edges": shape.edges}
    params = InitParams(
        workflow_id="workflow-1", graph_config=config, run_context={"_dify": DIFY}, call_depth=0
    )
    if snapshot is not None:
        state = State.from_snapshot(snapshot)
    else:
        pool = Pool()
        pool.add(("sys", "workflow_run_id"), run_id)
        for name, value in (inputs or {}).items():
            pool.add(("start", name), value)
        known = {"workflow_id": "workflow-1"} if FRAMES else {}
        state = State(variable_pool=pool, start_at=time.perf_counter(), **known)
    factory = _Factory(shape, params, state)
    graph = Graph.init(graph_config=config, node_factory=factory, root_node_id="start")
    if FRAMES:
        return Engine(graph=graph, runtime_state=state, command_channel=_channel())
    # One worker would run branches one after the other.
    config = load("graph_engine.config", "GraphEngineConfig")(min_workers=4, max_workers=4)
    return Engine(
        workflow_id="workflow-1",
        graph=graph,
        graph_runtime_state=state,
        command_channel=_channel(),
        config=config,
        child_engine_builder=_Children(shape),
    )


def state_of(made: Any) -> Any:
    """Return the runtime state of an engine."""
    return made.runtime_state if FRAMES else made.graph_runtime_state


@dataclass(frozen=True)
class Ended:
    """What came out of a run.

    Attributes:
        engine: the engine, for its state.
        events: what the engine yielded.
        error: what it raised.
    """

    engine: Any
    events: list[Any]
    error: str

    @property
    def outputs(self) -> dict[str, Any]:
        """Outputs of the run."""
        return dict(state_of(self.engine).outputs)

    @property
    def tokens(self) -> int:
        """Tokens as the engine added them up: what Dify stores with a run."""
        return int(state_of(self.engine).total_tokens)

    @property
    def status(self) -> str:
        """Class of the last event."""
        return type(self.events[-1]).__name__


def drain(made: Any) -> Ended:
    """Consume the events of an engine, as a host does."""
    events: list[Any] = []
    try:
        events.extend(made.run())
    except RuntimeError as error:
        return Ended(made, events, str(error))
    return Ended(made, events, "")


def run(shape: Shape, inputs: Mapping[str, Any] | None = None, *, run_id: str = RUN_ID) -> Ended:
    """Run a graph to its end."""
    return drain(engine(shape, inputs, run_id=run_id))
