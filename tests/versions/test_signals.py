"""What a run leaves besides its spans: metric points, log events, content only where asked for."""

from __future__ import annotations

import json
from typing import Any

from inline_snapshot import snapshot

from tests.recording import Recording, recording
from tests.versions.fakes import LLM_DATA, Models, llm_extra
from tests.versions.graphs import RUN_ID, Shape, run


def asking(models: Models) -> Shape:
    shape = Shape().start().node("llm", "llm", **LLM_DATA).end(text=("llm", "text"))
    shape.chain("start", "llm", "end").extra["llm"] = llm_extra(models)
    return shape


def burst(_node: Any) -> Any:
    raise ValueError("no more")


def test_runs_are_counted_by_status(recorded: Recording) -> None:
    run(asking(Models()))
    run(asking(Models()))
    run(Shape().start().script("burst", burst).end().chain("start", "burst", "end"))

    total = "dify.requests.total"
    assert recorded.total(total, type="workflow", status="succeeded") == 2
    assert recorded.total(total, type="workflow", status="failed") == 1
    assert recorded.total("dify.errors.total", type="workflow") == 1
    assert recorded.counts("dify.workflow.duration", "status") == {"succeeded": 2, "failed": 1}
    assert recorded.counts("dify.node.duration", "node_type") == snapshot(
        {"start": 3, "llm": 2, "end": 2, "script": 1}
    )
    assert recorded.total(total, type="node", status="succeeded") == 7
    assert recorded.total(total, type="node", status="failed") == 1


def test_points_carry_the_labels_of_the_enterprise_dictionary(recorded: Recording) -> None:
    run(asking(Models()))

    [run_point] = [
        dict(point)
        for point in recorded.points("dify.requests.total")
        if ("type", "workflow") in point
    ]
    assert run_point == snapshot(
        {
            "app_id": "app-1",
            "invoke_from": "debugger",
            "status": "succeeded",
            "tenant_id": "tenant-1",
            "type": "workflow",
            "workflow_id": "workflow-1",
        }
    )
    assert [dict(point) for point in recorded.points("gen_ai.client.token.usage")] == snapshot(
        [
            {
                "app_id": "app-1",
                "dify.model.provider": "langgenius/openai/openai",
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.token.type": "input",
                "node_type": "llm",
                "operation_type": "workflow",
                "tenant_id": "tenant-1",
            },
            {
                "app_id": "app-1",
                "dify.model.provider": "langgenius/openai/openai",
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.token.type": "output",
                "node_type": "llm",
                "operation_type": "workflow",
                "tenant_id": "tenant-1",
            },
        ]
    )


def test_runs_nodes_and_calls_leave_one_event_each(recorded: Recording) -> None:
    run(asking(Models()))

    names = [record.event_name for record in recorded.events]
    assert sorted(names) == [
        "dify.node.execution",
        "dify.node.execution",
        "dify.node.execution",
        "dify.workflow.run",
        "gen_ai.client.inference.operation.details",
    ]


def test_starts_are_no_events_unless_they_are_asked_for(recorded: Recording) -> None:
    run(asking(Models()))

    assert recorded.starts == []


def test_runs_and_nodes_can_be_told_of_when_they_start() -> None:
    """Who looks for what hangs finds starts without ends."""
    with recording(OTEL_DIFY_START_EVENTS="true") as recorded:
        run(asking(Models()))

    assert [(record.event_name, record.body) for record in recorded.starts] == [
        ("dify.workflow.started", f"run {RUN_ID} started"),
        ("dify.node.started", "node start (start) started"),
        ("dify.node.started", "node llm (llm) started"),
        ("dify.node.started", "node end (end) started"),
    ]
    spans = {span.context.span_id: span for span in recorded.spans}
    for record in recorded.starts:
        assert record.timestamp == spans[record.span_id].start_time
        assert record.attributes["dify.workflow.run_id"] == RUN_ID
    assert recorded.told[0] is recorded.starts[0]


def test_events_carry_the_ids_of_their_spans(recorded: Recording) -> None:
    run(asking(Models()))

    spans = {span.context.span_id: span for span in recorded.spans}
    for record in recorded.events:
        span = spans.pop(record.span_id)
        assert record.trace_id == span.context.trace_id
        assert record.attributes["dify.workflow.run_id"] == RUN_ID
        assert record.timestamp == span.end_time
    assert spans == {}


def test_events_say_what_happened(recorded: Recording) -> None:
    run(Shape().start().script("burst", burst).end().chain("start", "burst", "end"))

    record = recorded.event("dify.workflow.run")
    subject, _, cause = record.body.partition(" in ")
    assert subject == f"run {RUN_ID} failed"
    assert cause.endswith(": no more")
    assert record.severity_text == "ERROR"


def test_content_is_a_reference_unless_it_is_asked_for(recorded: Recording) -> None:
    run(asking(Models("secret answer")))

    written = [str(span.attributes) for span in recorded.spans]
    written += [f"{record.attributes} {record.body}" for record in recorded.events]
    assert not [text for text in written if "How are you?" in text or "secret answer" in text]
    known = recorded.attributes("invoke_workflow")
    assert known["dify.workflow.outputs"] == f"ref:workflow_run_id={RUN_ID}"
    call = recorded.attributes("chat gpt-4o")
    execution = call["dify.node.execution_id"]
    assert call["gen_ai.input.messages"] == f"ref:node_execution_id={execution}"


def test_content_is_kept_in_spans_and_events_where_it_is_asked_for() -> None:
    with recording("span_and_event") as recorded:
        run(asking(Models("an answer")))

    for known in (
        recorded.attributes("chat gpt-4o"),
        recorded.event("gen_ai.client.inference.operation.details").attributes,
    ):
        assert known["gen_ai.input.messages"] == snapshot(
            '[{"role": "user", "parts": [{"type": "text", "content": "How are you?"}]}]'
        )
        assert known["gen_ai.output.messages"] == snapshot(
            '[{"role": "assistant", "parts": [{"type": "text", "content": "an answer"}]}]'
        )
    assert (
        recorded.attributes("invoke_workflow")["dify.workflow.outputs"] == '{"text": "an answer"}'
    )


def test_a_run_has_the_inputs_that_it_began_with() -> None:
    shape = Shape().start().end(text=("start", "name")).chain("start", "end")
    with recording("span_and_event") as recorded:
        run(shape, {"name": "Ada"})
    for known in (
        recorded.attributes("invoke_workflow"),
        recorded.event("dify.workflow.run").attributes,
    ):
        inputs = json.loads(known["dify.workflow.inputs"])
        assert "Ada" in inputs.values()


def test_a_failure_that_quotes_content_is_told_without_it(recorded: Recording) -> None:
    """Of the engine too: nodes, runs and the lines that it writes repeat the model's error."""
    name = "Ada Countess of Lovelace"

    def quotes(_node: Any) -> Any:
        raise ValueError(f"no such person: {name}")

    shape = Shape().start().script("quotes", quotes).end().chain("start", "quotes", "end")
    run(shape, {"name": name})
    written = [f"{span.attributes} {span.status.description}" for span in recorded.spans]
    written += [f"{record.attributes} {record.body}" for record in recorded.events]
    assert not [text for text in written if "Lovelace" in text]
    assert "no such person: [content]" in recorded.event("dify.workflow.run").body
