"""How what serves a run says that it ended, and what is told of nodes that it left."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from opentelemetry.context import Context

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources import carry
from otel_dify.sources.graphon.nodes import Usage
from otel_dify.sources.graphon.run import RunObserver
from tests.recording import Recording


def event(name: str, **known: Any) -> Any:
    """Make an event of the engine, told by the name of its class."""
    return type(name, (SimpleNamespace,), {})(**known)


def node(name: str) -> Any:
    """Make a node."""
    return SimpleNamespace(
        id=name,
        title=name,
        execution_id=f"of {name}",
        node_type="code",
        node_data=SimpleNamespace(),
    )


def observed(above: Operation | None = None) -> RunObserver:
    """Observe a run that has begun."""
    made = RunObserver(t.RUN, {t.RUN_ID: "run"}, Context())
    if above is None:
        made.graph_started()
    else:
        with above.active():
            made.graph_started()
    return made


@pytest.mark.parametrize("kind", [t.REQUEST, t.TASK])
@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("GraphRunSucceededEvent", "succeeded"),
        ("GraphRunFailedEvent", "failed"),
        ("GraphRunPausedEvent", "paused"),
        ("", "stopped"),
    ],
)
def test_what_serves_a_run_tells_how_it_ended(
    recorded: Recording, kind: t.Kind, last: str, status: str
) -> None:
    above = start(kind, {t.HTTP_METHOD: "POST", t.URL_PATH: "/run", t.HTTP_STATUS: 200})
    run = observed(above)
    if last:
        run.graph_event(event(last, error="out of order", outputs={}))
        # The answer may be sent before the engine tells of the end.
        assert above.get(t.RUN_STATUS) == status
    run.graph_ended(None)
    above.end()
    assert above.get(t.RUN_STATUS) == status
    assert not above.failed
    assert recorded.event(kind.event).body.endswith(f" s, its run {status}")


def test_a_run_within_a_run_tells_that_one_and_not_the_request(recorded: Recording) -> None:
    request = start(t.REQUEST)
    outer = observed(request)
    assert outer.operation is not None
    inner = observed(outer.operation)
    inner.graph_event(event("GraphRunFailedEvent", error="out of order"))
    inner.graph_ended(None)
    assert request.get(t.RUN_STATUS) is None
    outer.graph_event(event("GraphRunSucceededEvent", outputs={}))
    outer.graph_ended(None)
    assert request.get(t.RUN_STATUS) == "succeeded"
    request.end()
    assert len(recorded.spans) == 3


def test_siblings_of_a_failed_node_are_stopped_and_no_errors(recorded: Recording) -> None:
    run = observed()
    for name in ("fails", "works"):
        run.node_started(node(name), run.operation)
    failed = SimpleNamespace(inputs={}, outputs={}, process_data={}, error_type="TeapotError")
    run.node_event(
        event(
            "NodeRunFailedEvent",
            id="of fails",
            node_id="fails",
            error="out of order",
            node_run_result=failed,
        )
    )
    run.node_ended(node("fails"), None)
    run.graph_event(event("GraphRunFailedEvent", error="out of order"))
    run.graph_ended(None)

    assert recorded.tree(t.NODE_STATUS, t.ERROR_TYPE) == (
        "invoke_workflow [ERROR] {error.type=TeapotError}\n"
        "  code fails [ERROR] {node.status=failed, error.type=TeapotError}\n"
        "  code works {node.status=stopped}"
    )
    assert recorded.total("dify.errors.total", type="node") == 1
    assert recorded.total("dify.requests.total", type="node", status="stopped") == 1
    [told] = [e for e in recorded.events if e.attributes.get(t.NODE_ID.key) == "works"]
    assert told.severity_text == "INFO"
    assert "was stopped after" in told.body


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((7, 3, 10), (7, 3, 10)),
        ((0, 0, 40), (40, 0, 40)),
        ((7, 3, 12), (9, 3, 12)),
        ((7, 3, 8), (7, 3, 10)),
    ],
)
def test_input_and_output_come_to_the_total(
    recorded: Recording, given: tuple[int, int, int], taken: tuple[int, int, int]
) -> None:
    """Plugins of agents tell the total alone."""
    prompt, completion, total = given
    usage = Usage()
    usage.take(
        SimpleNamespace(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=total,
            total_price=0,
            currency="USD",
        )
    )
    run = start(t.RUN)
    usage.write(run)
    run.end()
    counted = tuple(
        recorded.total(f"dify.tokens.{kind}", operation_type="workflow")
        for kind in ("input", "output", "total")
    )
    assert counted == taken


def test_the_name_of_a_conversation_is_linked_and_no_child_of_what_has_ended(
    recorded: Recording,
) -> None:
    """Dify begins it a second after the first message, which may have been answered long since."""

    class MessageCycleManager:
        def _generate_conversation_name_worker(self) -> None:
            made = start(t.GENERATION, {t.OPERATION_TYPE: "generate_name"})
            with made.active():
                start(t.MODEL_CALL, {t.OPERATION_NAME: "chat"}).end()
            made.end()

    module = ModuleType("core.app.task_pipeline.message_cycle_manager")
    module.MessageCycleManager = MessageCycleManager  # type: ignore[attr-defined] # made here
    carry.attach(module)
    message = start(t.MESSAGE, {t.APP_MODE: "chat", t.APP_ID: "app-1"})
    with message.active():
        later = MessageCycleManager()._generate_conversation_name_worker
    message.end()
    later()

    assert recorded.tree() == "message chat\ngenerate generate_name\n  chat"
    name, answered = recorded.span("generate generate_name"), recorded.span("message chat")
    assert name.context.trace_id != answered.context.trace_id
    assert [link.context for link in name.links] == [answered.context]
    assert dict(name.attributes or {})[t.APP_ID.key] == "app-1"
    assert dict(recorded.span("chat").attributes or {})[t.APP_ID.key] == "app-1"
