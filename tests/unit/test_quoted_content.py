"""Quoted content: errors, addresses, requests, tasks and foreign spans leave without it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from celery import Celery, signals
from opentelemetry.trace import StatusCode

from otel_dify import table as t
from otel_dify.cleaning.known_content import PLACEHOLDER
from otel_dify.operations.current import current, start
from otel_dify.settings import CAPTURE_MODES
from otel_dify.sources.libraries import celery as celery_source
from tests.recording import Recording, recording

PROMPT = "Tell me what Contoso pays its managers"
REFUSED = f"[openai] refused: {PROMPT}"
HIDDEN = f"[openai] refused: {PLACEHOLDER}"
KEPT = {
    "no_content": (False, False),
    "span_only": (True, False),
    "event_only": (False, True),
    "span_and_event": (True, True),
}


def refused(recorded: Recording) -> tuple[Any, Any, Any]:
    """Have a model call fail that quotes its prompt; give call, node and the call's event."""
    node = start(t.NODE, {t.NODE_TYPE: "llm", t.NODE_TITLE: "Ask"})
    call = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat"}, parent=node.context)
    call.set(t.INPUT_MESSAGES, [{"role": "user", "content": PROMPT}])

    def refuse() -> None:
        raise RuntimeError(REFUSED)

    try:
        refuse()
    except RuntimeError as error:
        call.fail(error)
    call.end()
    node.happened("retry", {t.ERROR_MESSAGE: REFUSED})
    node.fail(REFUSED, "InvokeBadRequestError")
    node.set(t.NODE_ERROR, REFUSED)
    node.end()
    event = recorded.event("gen_ai.client.inference.operation.details")
    return recorded.span("chat"), recorded.span("llm Ask"), event


@pytest.mark.parametrize("mode", CAPTURE_MODES)
def test_the_message_of_a_failure_is_told_without_the_content_that_it_quotes(mode: str) -> None:
    with recording(mode) as recorded:
        call, node, event = refused(recorded)
    in_span, in_event = (REFUSED if kept else HIDDEN for kept in KEPT[mode])
    for span in (call, node):
        assert span.attributes[t.ERROR_MESSAGE.key] == in_span
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == in_span
    assert node.attributes[t.NODE_ERROR.key] == in_span
    [retry] = node.events
    assert retry.attributes[t.ERROR_MESSAGE.key] == in_span
    assert event.attributes[t.ERROR_MESSAGE.key] == in_event
    assert event.body.endswith(in_event)
    assert event.attributes[t.STACK_TRACE.key].endswith(f"RuntimeError: {in_event}\n")


def test_the_same_failure_has_the_same_name_whatever_it_quotes(recorded: Recording) -> None:
    call, node, _ = refused(recorded)
    assert call.attributes[t.ERROR_TYPE.key] == "RuntimeError"
    assert node.attributes[t.ERROR_FINGERPRINT.key]


def test_content_of_another_tree_is_not_looked_for(recorded: Recording) -> None:
    start(t.NODE, {t.NODE_TITLE: "other", t.NODE_INPUTS: PROMPT}).end()
    node = start(t.NODE, {t.NODE_TITLE: "this"})
    node.fail(REFUSED, "x")
    node.end()
    assert recorded.attributes("this")[t.ERROR_MESSAGE.key] == REFUSED


def test_an_address_is_told_without_the_content_in_it(recorded: Recording) -> None:
    run = start(t.RUN, {t.RUN_INPUTS: {"query": PROMPT}})
    url = f"https://api.example.com/find/{PROMPT.replace(' ', '%20')}/all"
    start(t.HTTP_CALL, {t.HTTP_METHOD: "GET", t.URL_FULL: url}, parent=run.context).end()
    run.end()
    told = recorded.attributes("GET")[t.URL_FULL.key]
    assert told == f"https://api.example.com/find/{PLACEHOLDER}/all"


def test_an_attribute_that_other_code_has_set_is_told_without_the_content_in_it(
    recorded: Recording,
) -> None:
    run = start(t.RUN, {t.RUN_INPUTS: {"query": PROMPT}})
    run.set_other("plugin.note", REFUSED)
    run.set_other("plugin.count", 3)
    run.end()
    told = recorded.attributes("invoke_workflow")
    assert (told["plugin.note"], told["plugin.count"]) == (HIDDEN, 3)


@pytest.mark.usefixtures("recorded")
def test_an_address_with_a_pattern_is_not_compared() -> None:
    """Each call of the plugin daemon would look into all that its run knows."""
    run = start(t.RUN, {t.RUN_INPUTS: lambda: pytest.fail("has been looked into")})
    known = {t.URL_FULL: "http://daemon/plugin/x/dispatch", t.URL_TEMPLATE: "/plugin/{id}/dispatch"}
    start(t.HTTP_CALL, known, parent=run.context).end()
    run.end()


def test_what_a_request_brought_is_known_in_it(
    watched: Callable[[str], ModuleType], recorded: Recording
) -> None:
    flask = watched("flask")
    app = flask.Flask(__name__)

    def view() -> str:
        operation = current()
        assert operation is not None
        assert operation.known is not None
        operation.known.without("a line before the body has been read")
        given = flask.request.get_json()["query"]
        asked = flask.request.args["asked"]
        operation.fail(f"{given} and {asked} of {flask.request.path}", "x")
        return "done"

    app.add_url_rule("/x", "x", view, methods=["POST"])
    address = "/x?asked=who+earns+the+most+here"
    app.test_client().post(address, json={"query": PROMPT}).close()
    [span] = recorded.spans
    assert span.attributes is not None
    message = span.attributes[t.ERROR_MESSAGE.key]
    assert message == f"{PLACEHOLDER} and {PLACEHOLDER} of /x"


@pytest.mark.usefixtures("recorded")
def test_a_request_is_not_kept_alive_by_what_is_known_of_it(
    watched: Callable[[str], ModuleType],
) -> None:
    """Its environment leads to the operation: only the garbage collector would find the two."""
    flask = watched("flask")
    app = flask.Flask(__name__)
    kept: list[Any] = []

    def view() -> str:
        kept.append(current())
        return str(flask.request.get_json()["query"])

    app.add_url_rule("/x", "x", view, methods=["POST"])
    app.test_client().post("/x", json={"query": PROMPT}).close()
    assert kept[0].known.without(PROMPT) == PROMPT


def test_names_of_files_that_a_request_brought_are_known_in_it(
    watched: Callable[[str], ModuleType], recorded: Recording
) -> None:
    flask = watched("flask")
    app = flask.Flask(__name__)

    def view() -> str:
        name = flask.request.files["file"].filename
        operation = current()
        assert operation is not None
        operation.fail(f"cannot store {name}", "x")
        return "done"

    app.add_url_rule("/x", "x", view, methods=["POST"])
    given = {"file": (__file__, "Salaries of all managers.txt")}
    app.test_client().post("/x", data=given, content_type="multipart/form-data").close()
    [span] = recorded.spans
    assert span.attributes is not None
    assert span.attributes[t.ERROR_MESSAGE.key] == f"cannot store {PLACEHOLDER}"


def test_what_a_task_was_given_is_known_in_it(
    watched: Callable[[str], ModuleType], recorded: Recording
) -> None:
    # Connected by another test, it would come before the handler that starts the operation.
    signals.task_prerun.disconnect(celery_source._waited)
    watched("celery")
    app = Celery(broker="memory://", backend="cache+memory://")

    @app.task(name="tests.quotes")
    def quotes(given: str, *, tenant: str) -> None:
        raise ValueError(f"{tenant}: {given}")

    run = "6f9619ff-8b86-d011-b42d-00c04fc964ff"
    given = f'{{"run_id": "{run}", "query": "{PROMPT}"}}'
    quotes.apply(args=(given,), kwargs={"tenant": "t-1"})
    [span] = recorded.spans
    assert span.attributes is not None
    told = span.attributes[t.ERROR_MESSAGE.key]
    assert told == f't-1: {{"run_id": "{run}", "query": "{PLACEHOLDER}"}}'


@pytest.mark.parametrize("mode", CAPTURE_MODES)
def test_a_foreign_span_is_sent_without_the_content_that_it_quotes(mode: str) -> None:
    with recording(mode) as recorded:
        run = start(t.RUN, {t.RUN_INPUTS: {"query": PROMPT}})
        with run.active():
            span = recorded.tracer.start_span("theirs", attributes={"asked.for": PROMPT})
            span.add_event("seen", {"what": REFUSED})
            span.set_status(StatusCode.ERROR, REFUSED)
            span.end()
        run.end()
    kept = KEPT[mode][0]
    theirs = recorded.span("theirs")
    assert dict(theirs.attributes or {})["asked.for"] == (PROMPT if kept else PLACEHOLDER)
    assert dict(theirs.events[0].attributes or {})["what"] == (REFUSED if kept else HIDDEN)
    assert theirs.status.description == (REFUSED if kept else HIDDEN)


def test_where_all_content_is_sent_nothing_of_it_is_remembered() -> None:
    with recording("span_and_event"):
        run = start(t.RUN, {t.RUN_INPUTS: PROMPT})
        assert run.known is None
        run.end()


def test_an_answer_that_grows_is_known_whole_at_its_end(recorded: Recording) -> None:
    node = start(t.NODE, {t.NODE_TITLE: "n"})
    call = start(t.MODEL_CALL, parent=node.context)
    parts = ["The answer begins here, "]
    call.set(t.OUTPUT_MESSAGES, lambda: "".join(parts))
    assert call.known is not None
    assert call.known.without("The answer begins here") == PLACEHOLDER
    parts.append("and ends with the salary of Ms Smith")
    call.end()
    node.fail("not JSON: and ends with the salary of Ms Smith", "x")
    node.end()
    assert recorded.attributes("n")[t.ERROR_MESSAGE.key] == f"not JSON: {PLACEHOLDER}"


@pytest.mark.usefixtures("recorded")
def test_operations_of_one_tree_know_the_same() -> None:
    request = start(t.REQUEST)
    run = start(t.RUN, parent=request.context)
    other = start(t.REQUEST)
    assert run.known is request.known
    assert other.known is not request.known
    for operation in (run, request, other):
        operation.end()
