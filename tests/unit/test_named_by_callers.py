"""What a caller of Dify names, its trace and its session, is on all that is done for it."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.dify import messages, pauses, requests
from tests.recording import Recording

NAMED = {"external_trace_id": "their-trace", "trace_session_id": "their-session"}


@pytest.fixture
def generator() -> Any:
    """Stand for Dify's generator of workflow runs; both of its ways start a node."""

    class WorkflowAppGenerator:
        node: Operation

        def generate(self, *, app_model: object, args: object) -> None:
            """Run a workflow."""
            del app_model, args
            self.node = start(t.NODE)

        def resume(self, *, application_generate_entity: object) -> None:
            """Go on with a run."""
            del application_generate_entity
            self.node = start(t.NODE)

    module = ModuleType("core.app.apps.workflow.app_generator")
    module.WorkflowAppGenerator = WorkflowAppGenerator  # type: ignore[attr-defined] # a module made here
    messages.attach(module)
    pauses.attach(module)
    return WorkflowAppGenerator()


def named(operation: Operation) -> tuple[object, object]:
    """Return what the caller named, as an operation has it."""
    return operation.get(t.EXTERNAL_TRACE_ID), operation.get(t.SESSION_ID)


def test_a_worker_learns_it_from_the_arguments_of_the_run(
    recorded: Recording, generator: Any
) -> None:
    del recorded
    with start(t.TASK).active():
        generator.generate(app_model=SimpleNamespace(id="app-1"), args={"inputs": {}, **NAMED})
    assert named(generator.node) == ("their-trace", "their-session")


def test_a_run_that_goes_on_has_it_from_before(recorded: Recording, generator: Any) -> None:
    del recorded
    with start(t.TASK).active():
        generator.resume(application_generate_entity=SimpleNamespace(extras=NAMED))
    assert named(generator.node) == ("their-trace", "their-session")


def test_a_trace_of_ours_is_no_name_of_theirs(recorded: Recording, generator: Any) -> None:
    """Dify falls back to the trace that it finds itself in, and stores it with a paused run."""
    del recorded
    task = start(t.TASK)
    ours = f"{task.span_context.trace_id:032x}"
    left = "0af7651916cd43dd8448eb211c80319c"
    with task.active():
        requests.take({"external_trace_id": ours})
        extras = {
            "external_trace_id": left,
            "otel_dify_traceparent": f"00-{left}-b7ad6b7169203331-01",
        }
        generator.resume(application_generate_entity=SimpleNamespace(extras=extras))
    assert named(generator.node) == (None, None)
