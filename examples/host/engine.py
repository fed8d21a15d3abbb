"""Runs a Dify app (a DSL file) on graphon, the engine of Dify, 0.6 or newer.

graphon's own DSL importer makes models from plugins, and before 0.7 has no iteration or loop. So
the host does as Dify does: it hands the graph of the file to graphon with a node factory of its
own. Three shapes of graphon's interface are known here:

- 0.6: `graphon.graph_engine`; a container node asks its state for a child engine.
- 0.7: `graphon.graph_engine`; the engine runs containers itself, with a factory for each frame.
- 0.8: `graphon.engine`, new names for the state and the parameters of a node.
"""

from __future__ import annotations

import contextvars
import inspect
import os
import threading
import time
import uuid
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import yaml
from graphon.enums import BuiltinNodeTypes
from graphon.graph.graph import Graph
from graphon.nodes.base.node import Node
from graphon.nodes.http_request.config import build_http_request_config
from graphon.runtime.variable_pool import VariablePool
from graphon.template_rendering import Jinja2TemplateRenderer, TemplateRenderError
from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import BaseModel

from examples.host.models import ModelInstance, OpenAIRuntime
from examples.host.tools import KnowledgeTool

APPS = Path(__file__).parent.parent / "apps"
TENANT_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "examples"))
_V08 = tuple(int(part) for part in version("graphon").split(".")[:2]) >= (0, 8)

# Their names and fields are those of both interfaces. Imported by name, because a type checker
# sees only the graphon that is installed.
events: Any = import_module("graphon.engine_events" if _V08 else "graphon.graph_events")
if _V08:
    _Engine: Any = import_module("graphon.engine").Engine
    _State: Any = import_module("graphon.runtime.runtime_state").RuntimeState
    _Params: Any = import_module("graphon.runtime.init_params").InitParams
else:
    _Engine = import_module("graphon.graph_engine.graph_engine").GraphEngine
    _State = import_module("graphon.runtime.graph_runtime_state").GraphRuntimeState
    _Params = import_module("graphon.entities.graph_init_params").GraphInitParams
_PARAMS, _STATE = (
    ("init_params", "runtime_state") if _V08 else ("graph_init_params", "graph_runtime_state")
)
_BUILDS_CHILD_ENGINES = "child_engine_builder" in inspect.signature(_Engine).parameters

# A node class is known to graphon once its module has been imported.
for _module in (
    "end.end_node",
    "http_request.node",
    "if_else.if_else_node",
    "iteration.iteration_node",
    "iteration.iteration_start_node",
    "list_operator.node",
    "llm.node",
    "loop.loop_end_node",
    "loop.loop_node",
    "loop.loop_start_node",
    "question_classifier.question_classifier_node",
    "start.start_node",
    "template_transform.template_transform_node",
    "tool.tool_node",
    "variable_aggregator.variable_aggregator_node",
    "variable_assigner.v1.node",
    "variable_assigner.v2.node",
):
    import_module(f"graphon.nodes.{_module}")


@dataclass(frozen=True)
class App:
    """An app as its DSL file describes it.

    Attributes:
        name: the file's name without the ending; `app-<name>` is its API key.
        graph: nodes and edges, as graphon takes them.
        environment: the workflow's environment variables, by name.
    """

    name: str
    graph: Mapping[str, Any]
    environment: Mapping[str, Any]

    @property
    def app_id(self) -> str:
        """The app's id, the same on every machine."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"examples/{self.name}"))

    @property
    def workflow_id(self) -> str:
        """The id of the app's workflow."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"examples/{self.name}/workflow"))

    @property
    def start(self) -> Mapping[str, Any]:
        """The start node."""
        nodes = self.graph["nodes"]
        return next(n for n in nodes if n["data"]["type"] == BuiltinNodeTypes.START)

    def missing(self, inputs: Mapping[str, Any]) -> list[str]:
        """Return the required inputs that are not there."""
        variables = self.start["data"]["variables"]
        return [v["variable"] for v in variables if v["required"] and not inputs.get(v["variable"])]


def load_app(name: str, folder: Path = APPS) -> App:
    """Read an app's DSL.

    An environment variable of the workflow that this process has too takes the process's value:
    what is edited by hand after an import into Dify.

    Raises:
        LookupError: there is no such app, or it is no workflow.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if name not in known:
        raise LookupError(f"no app {name!r}; there are {', '.join(known)}")
    dsl = yaml.safe_load(known[name].read_text(encoding="utf-8"))
    if dsl.get("kind") != "app" or dsl["app"]["mode"] != "workflow":
        raise LookupError(f"{name} is no workflow app: this host runs nothing else")
    variables = dsl["workflow"].get("environment_variables") or []
    return App(
        name=name,
        graph=dsl["workflow"]["graph"],
        environment={v["name"]: os.environ.get(v["name"], v["value"]) for v in variables},
    )


class RunContext(BaseModel):
    """Who runs what; nodes find it under `_dify`, with the fields that Dify's has."""

    tenant_id: str
    app_id: str
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


class _Jinja(Jinja2TemplateRenderer):
    def render_template(self, template: str, variables: Mapping[str, Any]) -> str:
        try:
            return SandboxedEnvironment().from_string(template).render(variables)
        except TemplateError as error:
            raise TemplateRenderError(str(error)) from error


class _NoFiles:
    """Stands where graphon wants a store of files: the host keeps none."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"this example host keeps no files ({name})")


class _Prompts:
    def serialize(self, *, model_mode: object, prompt_messages: Any) -> Any:
        del model_mode
        return [
            {"role": message.role.value, "text": message.get_text_content()}
            for message in prompt_messages
        ]


@dataclass(frozen=True)
class NodeFactory:
    """Makes graphon's nodes from the DSL's, with the models and tools of this host.

    Attributes:
        params: graphon's parameters of the run.
        state: graphon's state of the run, or of the frame within it.
        models: who calls the models.
    """

    params: Any
    state: Any
    models: OpenAIRuntime

    def with_runtime_state(self, state: Any) -> NodeFactory:
        """Return the same factory for another frame (graphon 0.7 and newer)."""
        return replace(self, state=state)

    def with_graph_config(self, graph_config: Mapping[str, Any]) -> NodeFactory:
        """Return the same factory for another graph (graphon 0.8 and newer)."""
        params = self.params.model_copy(update={"graph_config": graph_config})
        return replace(self, params=params)

    def validate_node(self, node_config: Mapping[str, Any]) -> Any:
        """Check a node's data; return how it executes. Raises a ValueError."""
        node_class = self._class(node_config)
        node_class.validate_node_data(node_config["data"])
        return node_class.execution_type

    def create_node(self, node_config: Mapping[str, Any]) -> Any:
        """Make a node. Raises a ValueError for one that this host does not know."""
        node_class = self._class(node_config)
        data = node_class.validate_node_data(node_config["data"])
        own = {_PARAMS: self.params, _STATE: self.state, **self._collaborators(data)}
        return node_class(node_id=str(node_config["id"]), data=data, **own)

    @staticmethod
    def _class(node_config: Mapping[str, Any]) -> Any:
        data = node_config["data"]
        versions = Node.get_node_type_classes_mapping().get(data.type)
        if versions is None:
            raise ValueError(f"this example host has no node type {data.type}")
        # The version of some nodes (tool) is that of their data, not of a class.
        return versions.get(str(data.version), versions["latest"])

    def _collaborators(self, data: Any) -> dict[str, Any]:
        match data.type:
            case BuiltinNodeTypes.LLM | BuiltinNodeTypes.QUESTION_CLASSIFIER:
                asked = data.model
                template = "jinja2_template_renderer"
                if data.type == BuiltinNodeTypes.QUESTION_CLASSIFIER:
                    template = "template_renderer"
                return {
                    "model_instance": ModelInstance(
                        self.models, asked.name, asked.completion_params
                    ),
                    "llm_file_saver": _NoFiles(),
                    "prompt_message_serializer": _Prompts(),
                    template: _Jinja(),
                }
            case BuiltinNodeTypes.TEMPLATE_TRANSFORM:
                return {"jinja2_template_renderer": _Jinja()}
            case BuiltinNodeTypes.HTTP_REQUEST:
                return {
                    "http_request_config": build_http_request_config(),
                    "tool_file_manager_factory": _NoFiles,
                    "file_manager": _NoFiles(),
                    "file_reference_factory": _NoFiles(),
                }
            case BuiltinNodeTypes.TOOL:
                return {
                    "tool_file_manager": _NoFiles(),
                    "runtime": KnowledgeTool(self.models),
                }
            case _:
                return {}


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
        state = _State(
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
    if _V08:
        return _Engine(graph=graph, runtime_state=factory.state)
    extra = {"child_engine_builder": _ChildEngines(factory.models)} if _BUILDS_CHILD_ENGINES else {}
    channel = import_module("graphon.graph_engine.command_channels").InMemoryChannel()
    return _Engine(
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
        context = RunContext(tenant_id=TENANT_ID, app_id=app.app_id, user_id=self.user_id)
        params = _Params(
            workflow_id=app.workflow_id,
            graph_config=app.graph,
            run_context={"_dify": context},
            call_depth=0,
        )
        if _V08:
            state = _State(
                variable_pool=self._variables(root),
                start_at=time.time(),
                workflow_id=app.workflow_id,
            )
        else:
            execution_context: AbstractContextManager[None] = _ExecutionContext()
            state = _State(
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
