"""Makes graphon's nodes from the DSL's, with the models and tools of this host.

graphon's own DSL importer makes models from plugins, and before 0.7 has no iteration or loop. So
the host does as Dify does: it hands the graph of the file to graphon with a node factory of its
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from graphon.enums import BuiltinNodeTypes
from graphon.nodes.base.node import Node
from graphon.nodes.http_request.config import build_http_request_config
from graphon.template_rendering import Jinja2TemplateRenderer, TemplateRenderError
from jinja2 import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from examples.host.graphon_api import PARAMS, STATE
from examples.host.models import ModelInstance
from examples.host.provider import OpenAIRuntime
from examples.host.tools import KnowledgeTool


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
        own = {PARAMS: self.params, STATE: self.state, **self._collaborators(data)}
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
