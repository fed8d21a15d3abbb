"""A run that was paused and the run that goes on with it are linked through what Dify stores."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

from otel_dify.sources.dify import pauses
from tests.recording import Recording
from tests.versions.graphs import RUN_ID, Shape, run


def _dify(go_on: Callable[[], Any]) -> tuple[Any, Any]:
    """Stand for Dify's layer that stores a pause, and its generator that resumes a run."""

    class PauseStatePersistenceLayer:
        def __init__(self, extras: dict[str, str]) -> None:
            variables = {("sys", "workflow_run_id"): SimpleNamespace(value=RUN_ID)}
            self.graph_runtime_state = SimpleNamespace(variable_pool=variables)
            self._generate_entity = SimpleNamespace(extras=extras)

        def on_event(self, event: object) -> None:
            """Store the run, as Dify does."""

    class WorkflowAppGenerator:
        def resume(self, *, application_generate_entity: object) -> Any:
            del application_generate_entity
            return go_on()

    for name, thing in (
        ("core.app.layers.pause_state_persist_layer", PauseStatePersistenceLayer),
        ("core.app.apps.workflow.app_generator", WorkflowAppGenerator),
    ):
        module = ModuleType(name)
        setattr(module, thing.__name__, thing)
        pauses.attach(module)
    return PauseStatePersistenceLayer, WorkflowAppGenerator


class GraphRunPausedEvent:
    """What the engine tells its layers when a run pauses."""


def test_the_run_that_goes_on_links_to_where_the_first_was_left(recorded: Recording) -> None:
    extras: dict[str, str] = {}
    layer, generator = _dify(lambda: run(Shape().start().end().chain("start", "end")))

    def pause(_node: Any) -> dict[str, Any]:
        layer(extras).on_event(GraphRunPausedEvent())
        return {}

    first = Shape().start().script("ask", pause)
    run(first.end().chain("start", "ask", "end"))
    generator().resume(application_generate_entity=SimpleNamespace(extras=extras))
    run(Shape().start().end().chain("start", "end"))

    runs = [span for span in recorded.spans if span.name.startswith("invoke_workflow")]
    assert [len(span.links) for span in runs] == [0, 1, 0]
    assert runs[1].links[0].context.span_id == runs[0].context.span_id
    assert runs[1].links[0].context.trace_id == runs[0].context.trace_id
