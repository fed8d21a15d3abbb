"""The installed graphon: what differs between the versions that the host runs on.

Three shapes of its interface are known:

- 0.6: `graphon.graph_engine`; a container node asks its state for a child engine.
- 0.7: `graphon.graph_engine`; the engine runs containers itself, with a factory for each frame.
- 0.8: `graphon.engine`, new names for the state and the parameters of a node.

All is imported by name and has no type: a type checker sees the installed version only.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import version
from typing import Any

V08 = tuple(int(part) for part in version("graphon").split(".")[:2]) >= (0, 8)

events: Any = import_module("graphon.engine_events" if V08 else "graphon.graph_events")
if V08:
    Engine: Any = import_module("graphon.engine").Engine
    State: Any = import_module("graphon.runtime.runtime_state").RuntimeState
    Params: Any = import_module("graphon.runtime.init_params").InitParams
else:
    Engine = import_module("graphon.graph_engine.graph_engine").GraphEngine
    State = import_module("graphon.runtime.graph_runtime_state").GraphRuntimeState
    Params = import_module("graphon.entities.graph_init_params").GraphInitParams
PARAMS, STATE = (
    ("init_params", "runtime_state") if V08 else ("graph_init_params", "graph_runtime_state")
)
BUILDS_CHILD_ENGINES = "child_engine_builder" in inspect.signature(Engine).parameters

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
