"""Spans of other providers: what they enclose keeps its place among ours."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from types import ModuleType

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from otel_dify.operations import attributes as a
from otel_dify.operations.kinds import MODEL_CALL, QUERY, REQUEST, RUN
from otel_dify.operations.kinds_of_apps import GENERATION
from otel_dify.operations.lifecycle import current, here, start
from otel_dify.sources.carry import in_context
from tests.recording import Recording


def test_what_a_span_of_another_provider_encloses_lies_below_the_operation_around_it(
    recorded: Recording,
) -> None:
    """Dify's own spans are sent elsewhere: as parents they would be missing."""
    theirs = TracerProvider(resource=Resource({}), shutdown_on_exit=False).get_tracer("dify")
    request = start(REQUEST)
    with request.active(), theirs.start_as_current_span("AppGenerateHandler"):
        run = start(RUN)
        with run.active():
            start(MODEL_CALL).end()
        slow = start(QUERY, at_ns=request.start_ns - 10**10)
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
        start(GENERATION).end()

    def view() -> str:
        with (
            theirs.start_as_current_span("AppGenerateHandler"),
            theirs.start_as_current_span("WorkflowAppRunnerHandler"),
        ):
            start(RUN, {a.RUN_ID: "run-1"}).end()
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
    request = start(REQUEST)
    with request.active(), recorded.tracer.start_as_current_span("of a plugin"):
        start(RUN).end()
    request.end()
    assert recorded.tree() == "request\n  of a plugin\n    invoke_workflow"
