"""Spans of other providers: what they enclose keeps its place among ours."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from types import ModuleType

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode

from otel_dify import table as t
from otel_dify.operations.current import current, here, start
from otel_dify.sources.carry import in_context
from tests.recording import Recording, recording


def test_what_a_span_of_another_provider_encloses_lies_below_the_operation_around_it(
    recorded: Recording,
) -> None:
    """Dify's own spans are sent elsewhere: as parents they would be missing."""
    theirs = TracerProvider(resource=Resource({}), shutdown_on_exit=False).get_tracer("dify")
    request = start(t.REQUEST)
    with request.active(), theirs.start_as_current_span("AppGenerateHandler"):
        run = start(t.RUN)
        with run.active():
            start(t.MODEL_CALL).end()
        slow = start(t.QUERY, at_ns=request.start_ns - 10**10)
        slow.end()
        run.end()
    request.end()

    parents = {span.name: span.parent and span.parent.span_id for span in recorded.spans}
    ids = {span.name: span.context.span_id for span in recorded.spans}
    assert parents == {
        "request": None,
        "invoke_workflow": ids["request"],
        "model call": ids["invoke_workflow"],
        "query": ids["request"],
    }
    assert len({span.context.trace_id for span in recorded.spans}) == 1


def test_a_request_is_found_through_spans_of_another_provider(
    watched: Callable[[str], ModuleType], recorded: Recording
) -> None:
    """Flask's instrumentation makes only its span the current one, and theirs takes its place."""
    theirs = TracerProvider(resource=Resource({}), shutdown_on_exit=False).get_tracer("dify")
    app = watched("flask").Flask(__name__)

    def name() -> None:
        start(t.GENERATION).end()

    def view() -> str:
        with (
            theirs.start_as_current_span("AppGenerateHandler"),
            theirs.start_as_current_span("WorkflowAppRunnerHandler"),
        ):
            start(t.RUN, {t.RUN_ID: "run-1"}).end()
            thread = Thread(target=in_context(name, here()))
            thread.start()
            thread.join()
        return "done"

    app.add_url_rule("/run", "run", view)
    assert app.test_client().get("/run").data == b"done"
    assert recorded.tree() == "GET /run\n  invoke_workflow\n  generate"
    assert recorded.attributes("GET /run")["dify.workflow.run_id"] == "run-1"
    # Nothing is left behind on the thread.
    assert current() is None
    with theirs.start_as_current_span("later"):
        assert current() is None


def test_a_span_that_is_sent_with_ours_stays_the_parent(recorded: Recording) -> None:
    request = start(t.REQUEST)
    with request.active(), recorded.tracer.start_as_current_span("of a plugin"):
        start(t.RUN).end()
    request.end()
    assert recorded.tree() == "request\n  of a plugin\n    invoke_workflow"


CANARY = "What is the S3CRET of the user?"


def _leave_a_span(recorded: Recording) -> None:
    """Make a span as other instrumentations do, with all that must not leave."""
    run = start(t.RUN, {t.RUN_ID: "run-1", t.APP_ID: "app-1"})
    with run.active(), recorded.tracer.start_as_current_span("GET /?api_key=hunter2") as span:
        span.set_attribute("http.url", "http://user:hunter2@host/")
        span.set_attribute("vendor.api_key", "hunter2")
        span.set_attribute("gen_ai.input.messages", CANARY)
        span.set_attribute("input.value", CANARY)
        span.add_event("gen_ai.choice", {"gen_ai.completion.0.content": CANARY, "n": 1})
        span.record_exception(ValueError("password=hunter2"))
        span.set_status(StatusCode.ERROR, "token: hunter2")
    run.end()


def test_a_foreign_span_leaves_without_secrets_and_content(recorded: Recording) -> None:
    _leave_a_span(recorded)
    [span] = [span for span in recorded.spans if span.name.startswith("GET")]
    everything = span.to_json()
    assert "hunter2" not in everything
    assert CANARY not in everything
    known = dict(span.attributes or {})
    assert known["gen_ai.input.messages"] == known["input.value"] == "ref:workflow_run_id=run-1"
    assert known["dify.app_id"] == "app-1"
    assert span.status.status_code is StatusCode.ERROR


def test_a_foreign_spans_content_stays_where_it_is_asked_for() -> None:
    with recording("span_only") as recorded:
        _leave_a_span(recorded)
        [span] = [span for span in recorded.spans if span.name.startswith("GET")]
        assert dict(span.attributes or {})["gen_ai.input.messages"] == CANARY
        assert "hunter2" not in span.to_json()


def test_what_other_code_sets_on_the_current_span_is_the_operations(recorded: Recording) -> None:
    """A tool of somebody's own may know no more than the API of OpenTelemetry."""
    run = start(t.RUN, {t.APP_NAME: "app"})
    with run.active():
        span = trace.get_current_span()
        assert span.is_recording()
        span.set_attribute("rows", 17)
        span.set_attribute("vendor.secret", "hunter2")
        span.set_attribute("gen_ai.input.messages", CANARY)
        span.add_event("found", {"token": "hunter2"})
        span.end()
    run.end()
    known = recorded.attributes("invoke_workflow app")
    assert known["rows"] == 17
    assert known["gen_ai.input.messages"].startswith("ref:")
    assert [event.name for event in recorded.span("invoke_workflow app").events] == ["found"]
    assert "hunter2" not in recorded.span("invoke_workflow app").to_json()
