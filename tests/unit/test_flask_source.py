"""Requests: one operation each, from the first line to the last byte of the answer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import flask
import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode
from werkzeug.exceptions import InternalServerError
from werkzeug.test import EnvironBuilder

from otel_dify import guard
from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.sources.dify import apps
from tests.recording import Recording

SERVED = "dify.http.request"


class Answer:
    """What a server gets from the app for one request, and does with it."""

    def __init__(self, app: flask.Flask, path: str, **request: Any) -> None:
        self.status = ""
        self.headers: dict[str, str] = {}
        environ = EnvironBuilder(path, **request).get_environ()
        self.environ = environ
        self.body: Iterable[bytes] = app(environ, self._start_response)
        self.chunks: Iterator[bytes] = iter(self.body)

    def _start_response(self, status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda _: None

    def close(self) -> None:
        """Close the body, as a server does when all is sent or the client has gone."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()

    def whole(self) -> bytes:
        """Send it all and close it."""
        try:
            return b"".join(self.chunks)
        finally:
            self.close()


@pytest.fixture
def app(watched: Callable[[str], ModuleType], caplog: pytest.LogCaptureFixture) -> Any:
    """Make a watched app; fail the test where a context was detached that was not attached."""
    caplog.set_level(logging.DEBUG, "opentelemetry")
    made = watched("flask").Flask(__name__)
    for rule, view in VIEWS.items():
        made.add_url_rule(rule, rule, view)
    yield made
    assert "Failed to detach context" not in caplog.text
    assert context_api.get_current() == Context()
    assert current() is None


def plain(name: str) -> str:
    """Answer at once, having run an app."""
    start(t.RUN, {t.RUN_ID: f"run of {name}"}).end()
    return f"hello {name}"


def stream() -> flask.Response:
    """Run apps while the answer is sent."""

    def body() -> Iterator[str]:
        for number in range(3):
            start(t.RUN, {t.APP_NAME: f"{number}"}).end()
            yield f"data: {number}\n\n"

    return flask.Response(body(), mimetype="text/event-stream")


def with_context() -> flask.Response:
    """Read the request while the answer is sent."""

    def body() -> Iterator[str]:
        for number in range(3):
            yield f"{flask.request.args['q']} {number}\n"

    return flask.Response(flask.stream_with_context(body()))


def breaks() -> flask.Response:
    """Fail while the answer is sent."""

    def body() -> Iterator[str]:
        yield "first"
        raise ConnectionResetError("the engine has gone")

    return flask.Response(body())


def raises() -> str:
    """Fail."""
    raise LookupError("no such app")


def hides() -> str:
    """Fail as Dify's controllers do: with another exception in place of the cause."""
    raise InternalServerError("sorry") from TimeoutError("plugin daemon")


VIEWS: dict[str, Callable[..., Any]] = {
    "/plain/<name>": plain,
    "/stream": stream,
    "/with-context": with_context,
    "/breaks": breaks,
    "/raises": raises,
    "/hides": hides,
    "/aborts/<int:code>": flask.abort,
    "/answers/<int:code>": lambda code: ("", code),
    "/file": lambda: flask.send_file(Path(__file__)),
}


def test_a_plain_request_is_one_operation(app: flask.Flask, recorded: Recording) -> None:
    answer = Answer(app, "/plain/ada?key=1", headers={"User-Agent": "test"})
    assert answer.whole() == b"hello ada"
    known = recorded.attributes("GET /plain/<name>")
    assert known["http.request.method"] == "GET"
    assert known["http.route"] == "/plain/<name>"
    assert known["http.response.status_code"] == 200
    assert known["url.path"] == "/plain/ada"
    assert known["http.response.body.size"] == 9
    assert known["user_agent.original"] == "test"
    assert known["dify.workflow.run_id"] == "run of ada"
    assert known["dify.http.time_to_first_byte"] >= 0
    assert recorded.tree() == "GET /plain/<name>\n  invoke_workflow"
    assert recorded.event(SERVED).body.startswith("GET /plain/ada answered 200 in ")


@pytest.mark.parametrize(("length", "size"), [("12", 12), ("", None), ("-1", None), ("²", None)])
def test_the_size_of_a_request_is_what_its_caller_says(
    app: flask.Flask, recorded: Recording, length: str, size: int | None
) -> None:
    answer = Answer(app, "/plain/ada", environ_overrides={"CONTENT_LENGTH": length})
    assert answer.whole() == b"hello ada"
    assert recorded.attributes("GET /plain/<name>").get("http.request.body.size") == size


def test_a_request_is_counted_by_route_and_status(app: flask.Flask, recorded: Recording) -> None:
    for path in ("/plain/a", "/plain/b", "/answers/503"):
        Answer(app, path).whole()
    counts = recorded.counts("http.server.request.duration", "http.route")
    assert counts == {"/plain/<name>": 2, "/answers/<int:code>": 1}
    statuses = recorded.counts("http.server.request.duration", "http.response.status_code")
    assert statuses == {200: 2, 503: 1}


def test_a_stream_is_one_operation_until_its_last_byte(
    app: flask.Flask, recorded: Recording
) -> None:
    answer = Answer(app, "/stream")
    assert next(answer.chunks) == b"data: 0\n\n"
    assert [span.name for span in recorded.spans] == ["invoke_workflow 0"]
    assert len(list(answer.chunks)) == 2
    answer.close()
    known = recorded.attributes("GET /stream")
    assert known["http.response.body.size"] == 27
    assert known["http.response.status_code"] == 200
    assert (
        known["dify.http.time_to_first_byte"]
        <= recorded.event(SERVED).attributes["dify.elapsed_time"]
    )


def test_what_the_body_does_lies_in_the_request(app: flask.Flask, recorded: Recording) -> None:
    """Dify sends the Celery task of a streamed run from the body's generator."""
    Answer(app, "/stream").whole()
    assert recorded.tree() == (
        "GET /stream\n  invoke_workflow 0\n  invoke_workflow 1\n  invoke_workflow 2"
    )


def test_who_sends_the_chunks_does_not_lie_in_the_request(
    app: flask.Flask, recorded: Recording
) -> None:
    """A server may serve another request between two chunks, on the same thread."""
    first, second = Answer(app, "/stream"), Answer(app, "/stream")
    for one, other in zip(first.chunks, second.chunks, strict=True):
        assert one == other
        assert current() is None
    first.close()
    second.close()
    assert recorded.tree().count("GET /stream") == 2
    for line in recorded.tree().split("GET /stream\n")[1:]:
        assert line.count("invoke_workflow") == 3


def test_a_request_torn_down_twice_detaches_its_context_once(
    app: flask.Flask, recorded: Recording
) -> None:
    """``stream_with_context`` tears the request down when it is answered and when it is sent."""
    assert Answer(app, "/with-context?q=x").whole() == b"x 0\nx 1\nx 2\n"
    assert recorded.tree() == "GET /with-context"


def test_a_client_that_goes_early_ends_the_operation(app: flask.Flask, recorded: Recording) -> None:
    for path in ("/stream", "/with-context?q=x"):
        answer = Answer(app, path)
        next(answer.chunks)
        answer.close()
    assert recorded.attributes("GET /stream")["http.response.body.size"] == 9
    assert recorded.attributes("GET /with-context")["http.response.body.size"] == 4
    assert recorded.counts("http.server.request.duration", "error.type") == {None: 2}


def test_a_client_that_goes_before_the_first_byte_ends_the_operation(
    app: flask.Flask, recorded: Recording
) -> None:
    answer = Answer(app, "/stream")
    answer.close()
    assert "dify.http.time_to_first_byte" not in recorded.attributes("GET /stream")


def test_closing_twice_ends_the_operation_once(app: flask.Flask, recorded: Recording) -> None:
    answer = Answer(app, "/stream")
    answer.whole()
    answer.close()
    assert recorded.counts("http.server.request.duration", "http.route") == {"/stream": 1}


def test_an_exception_in_the_body_is_the_requests_failure(
    app: flask.Flask, recorded: Recording
) -> None:
    answer = Answer(app, "/breaks")
    with pytest.raises(ConnectionResetError):
        answer.whole()
    span = recorded.span("GET /breaks")
    assert span.status.status_code is StatusCode.ERROR
    assert recorded.attributes("GET /breaks")["error.type"] == "ConnectionResetError"
    assert recorded.attributes("GET /breaks")["dify.error.message"] == "the engine has gone"


def test_an_exception_in_the_view_is_the_requests_failure(
    app: flask.Flask, recorded: Recording
) -> None:
    answer = Answer(app, "/raises")
    answer.whole()
    assert answer.status.startswith("500")
    known = recorded.attributes("GET /raises")
    assert known["error.type"] == "LookupError"
    assert known["dify.error.message"] == "no such app"
    assert known["http.response.status_code"] == 500
    assert "LookupError" in recorded.event(SERVED).attributes["exception.stacktrace"]


def test_an_exception_that_propagates_is_the_requests_failure_and_goes_on(
    app: flask.Flask, recorded: Recording
) -> None:
    app.config["PROPAGATE_EXCEPTIONS"] = True
    with pytest.raises(LookupError):
        Answer(app, "/raises")
    assert recorded.attributes("GET /raises")["error.type"] == "LookupError"


def test_what_an_internal_server_error_hides_is_the_cause(
    app: flask.Flask, recorded: Recording
) -> None:
    """Dify's controllers raise it, and flask-restx sends Flask's signal for it."""

    @app.errorhandler(InternalServerError)
    def handle(error: InternalServerError) -> InternalServerError:
        flask.got_request_exception.send(app, exception=error)
        return error

    Answer(app, "/hides").whole()
    known = recorded.attributes("GET /hides")
    assert known["error.type"] == "TimeoutError"
    assert known["dify.error.category"] == "timeout"


class DatabaseError(Exception):
    """Stands for SQLAlchemy's, whose ``code`` is no status."""

    code = "e3q8"


def test_what_dify_logs_of_a_failure_has_its_error_id(
    app: flask.Flask, recorded: Recording
) -> None:
    """flask-restx logs it after the signal and before the response is begun."""
    logged: list[object] = []

    @app.errorhandler(DatabaseError)
    def handle(error: DatabaseError) -> tuple[dict[str, str], int]:
        flask.got_request_exception.send(app, exception=error)
        operation = current()
        logged.append(None if operation is None else operation.inherited.get("dify.error.id"))
        return {"code": "unknown"}, 500

    def fail() -> str:
        raise DatabaseError("gone") from OSError("the driver's")

    app.add_url_rule("/fails", "fails", fail)
    answer = Answer(app, "/fails")
    answer.whole()
    assert logged == [answer.headers["X-Error-ID"]]
    known = recorded.attributes("GET /fails")
    assert known["error.type"] == "DatabaseError"
    assert known["dify.error.code"] == "unknown"


class AppInvokeQuotaExceededError(ValueError):
    """Dify's, for an app with too many requests under way."""


class CompletionRequestError(Exception):
    """Dify's answer to whatever a model fails with."""

    code = 400


@pytest.mark.parametrize(
    ("exception", "category"),
    [
        (ValueError, "validation"),
        (RuntimeError, "internal"),
        (AppInvokeQuotaExceededError, "quota"),
        (CompletionRequestError, "timeout"),
    ],
)
def test_a_refusal_is_told_by_difys_code_and_is_no_failure(
    app: flask.Flask, recorded: Recording, exception: type[Exception], category: str
) -> None:
    """Dify answers a ``ValueError`` with 400 and an exceeded quota with 429."""

    @app.errorhandler(exception)
    def handle(error: Exception) -> tuple[dict[str, str], int]:
        flask.got_request_exception.send(app, exception=error)
        return {"code": "too_many_requests"}, 429

    def refuse() -> str:
        raise exception from TimeoutError() if exception is CompletionRequestError else None

    app.add_url_rule("/refuses", "refuses", refuse)
    Answer(app, "/refuses").whole()
    span = recorded.span("GET /refuses")
    assert span.status.status_code is not StatusCode.ERROR
    known = recorded.attributes("GET /refuses")
    assert known["dify.error.code"] == "too_many_requests"
    assert known["dify.error.category"] == category
    assert not {"error.type", "dify.error.id"} & known.keys()


@pytest.mark.parametrize("path", ["/answers/500", "/aborts/503"])
def test_an_answer_of_500_and_above_is_a_failure_by_its_status(
    app: flask.Flask, recorded: Recording, path: str
) -> None:
    answer = Answer(app, path)
    answer.whole()
    [span] = recorded.spans
    assert span.status.status_code is StatusCode.ERROR
    error_id = answer.headers["X-Error-ID"]
    assert dict(span.attributes or {})["dify.error.id"] == error_id
    assert recorded.event(SERVED).attributes["dify.error.id"] == error_id


@pytest.mark.parametrize("path", ["/answers/404", "/aborts/401", "/nowhere/at/all"])
def test_an_answer_below_500_is_no_failure_of_dify(
    app: flask.Flask, recorded: Recording, path: str
) -> None:
    answer = Answer(app, path)
    answer.whole()
    [span] = recorded.spans
    assert span.status.status_code is not StatusCode.ERROR
    assert "error.type" not in dict(span.attributes or {})
    assert "X-Error-ID" not in answer.headers


def test_a_path_that_leads_nowhere_does_not_name_the_span(
    app: flask.Flask, recorded: Recording
) -> None:
    """Scanners ask for thousands of paths."""
    Answer(app, "/wp-admin/setup.php").whole()
    assert [span.name for span in recorded.spans] == ["GET"]
    assert recorded.counts("http.server.request.duration", "http.route") == {None: 1}


def test_a_head_request_is_an_operation(app: flask.Flask, recorded: Recording) -> None:
    assert Answer(app, "/plain/ada", method="HEAD").whole() == b""
    known = recorded.attributes("HEAD /plain/<name>")
    assert known["http.response.body.size"] == 0
    assert known["http.response.status_code"] == 200


def test_a_file_is_sent_whole(app: flask.Flask, recorded: Recording) -> None:
    content = Path(__file__).read_bytes()
    assert Answer(app, "/file").whole() == content
    assert recorded.attributes("GET /file")["http.response.body.size"] == len(content)


def test_a_file_may_be_sent_by_the_server_itself(app: flask.Flask, recorded: Recording) -> None:
    """``wsgi.file_wrapper``: gunicorn sends the file by ``sendfile`` where it finds one."""

    class Wrapper:
        def __init__(self, file: Any, size: int = 8192) -> None:
            self.file, self.size, self.closed = file, size, False

        def __iter__(self) -> Iterator[bytes]:
            return iter(lambda: self.file.read(self.size), b"")

        def close(self) -> None:
            self.closed = True
            self.file.close()

    made: list[Wrapper] = []

    def wrapper(file: Any, size: int = 8192) -> Wrapper:
        made.append(Wrapper(file, size))
        return made[-1]

    answer = Answer(app, "/file", environ_base={"wsgi.file_wrapper": wrapper})
    assert answer.whole() == Path(__file__).read_bytes()
    assert [one.closed for one in made] == [True]
    assert len(recorded.spans) == 1


def test_a_request_id_is_made_and_returned_with_the_time_it_took(
    app: flask.Flask, recorded: Recording
) -> None:
    answer = Answer(app, "/plain/ada")
    answer.whole()
    made = answer.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert re.fullmatch(r"\d+\.\d{3}s", answer.headers["X-Response-Time"])
    assert recorded.attributes("GET /plain/<name>")["dify.request.id"] == made
    assert recorded.attributes("invoke_workflow")["dify.request.id"] == made


@pytest.mark.parametrize(
    ("given", "honoured"),
    [("order-17", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("a\x00b", False)],
)
def test_a_callers_request_id_is_honoured_where_it_can_be_an_id(
    app: flask.Flask, recorded: Recording, given: str, honoured: bool
) -> None:
    answer = Answer(app, "/plain/ada", environ_overrides={"HTTP_X_REQUEST_ID": given})
    answer.whole()
    known = recorded.attributes("GET /plain/<name>")["dify.request.id"]
    assert (known == given) is honoured
    assert answer.headers["X-Request-ID"] == known


def test_the_callers_trace_goes_on(app: flask.Flask, recorded: Recording) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    Answer(app, "/stream", headers={"traceparent": f"00-{trace_id}-{span_id}-01"}).whole()
    spans = recorded.spans
    assert {f"{span.context.trace_id:032x}" for span in spans} == {trace_id}
    parent = recorded.span("GET /stream").parent
    assert parent is not None
    assert f"{parent.span_id:016x}" == span_id


def test_without_recorders_the_app_answers_as_it_did(app: flask.Flask) -> None:
    """As in a process whose pipeline could not be made."""
    assert Answer(app, "/stream").whole() == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert Answer(app, "/with-context?q=x").whole() == b"x 0\nx 1\nx 2\n"


def test_a_request_within_a_request_is_an_operation_of_its_own(
    app: flask.Flask, recorded: Recording
) -> None:
    @app.get("/outer")
    def outer() -> bytes:
        return Answer(app, "/plain/inner").whole()

    assert Answer(app, "/outer").whole() == b"hello inner"
    assert recorded.tree() == "GET /outer\n  GET /plain/<name>\n    invoke_workflow"


@pytest.mark.parametrize(
    ("base", "address", "port"),
    [
        ("http://127.0.0.1:5001", "127.0.0.1", 5001),
        ("http://[::1]:5001", "::1", 5001),
        ("http://dify.example", "dify.example", 80),
    ],
)
def test_the_address_asked_is_a_host_and_a_port(
    app: flask.Flask, recorded: Recording, base: str, address: str, port: int
) -> None:
    Answer(app, "/plain/ada", base_url=base).whole()
    known = recorded.attributes("GET /plain/<name>")
    assert known[t.SERVER_ADDRESS.key] == address
    assert known[t.SERVER_PORT.key] == port


@pytest.mark.parametrize(
    ("events", "status", "code"),
    [
        (
            ['{"event":"workflow_finished","data":{"id":"r","status":"failed","error":"x"}}'],
            "failed",
            None,
        ),
        (['{"event": "workflow_paused", "data": {"reasons": []}}'], "paused", None),
        (['{"event":"error","code":"rate_limit_error","status":429}'], None, "rate_limit_error"),
        (
            [
                '{"event":"message","answer":"\\"event\\":\\"workflow_finished\\",\\"status\\":\\"x\\""}'
            ],
            None,
            None,
        ),
        (['{"event":"error", broken'], None, None),
        ([], None, None),
    ],
)
def test_a_stream_tells_how_the_run_ended_that_a_worker_has_run(
    app: flask.Flask, recorded: Recording, events: list[str], status: str | None, code: str | None
) -> None:
    def events_of() -> Iterator[str]:
        yield "event: ping\n\n"
        for event in events:
            yield f"data: {event}\n\n"

    app.add_url_rule(
        "/events",
        view_func=lambda: flask.Response(events_of(), mimetype="text/event-stream"),
        endpoint="events",
    )
    sent = Answer(app, "/events").whole().decode()
    assert sent.count("data: ") == len(events)
    known = recorded.attributes("GET /events")
    assert known.get(t.RUN_STATUS.key) == status
    assert known.get(t.ERROR_CODE.key) == code
    guard.caught().clear()


BAGGAGE = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "baggage": "dify.app_id=app-1,dify.workflow.run_id=run-1,dify.node.id=node-1,user.id=x,"
    "dify.tenant_id=%22%3Cscript%3E",
}


def test_a_call_that_a_plugin_makes_back_is_of_the_run_that_it_serves(
    app: flask.Flask, recorded: Recording
) -> None:
    """The plugin daemon passes the baggage on; nothing else that is in it is taken."""

    def invoke() -> str:
        start(t.MODEL_CALL, {t.OPERATION_NAME: "chat"}).end()
        return "done"

    apps.learn(SimpleNamespace(id="app-1", name="Report writer", mode="workflow", tenant_id="t"))
    app.add_url_rule("/inner/api/invoke/llm", view_func=invoke, methods=["POST"])
    Answer(app, "/inner/api/invoke/llm", method="POST", headers=BAGGAGE).whole()
    for name in ("POST /inner/api/invoke/llm", "chat"):
        known = recorded.attributes(name)
        assert known[t.APP_ID.key] == "app-1"
        assert known[t.APP_NAME.key] == "Report writer"
        assert known[t.APP_MODE.key] == "workflow"
        assert known[t.RUN_ID.key] == "run-1"
        assert known[t.NODE_ID.key] == "node-1"
        assert not known.keys() & {t.USER_ID.key, t.TENANT_ID.key}


def test_baggage_of_other_callers_is_not_believed(app: flask.Flask, recorded: Recording) -> None:
    Answer(app, "/plain/ada", headers=BAGGAGE).whole()
    known = recorded.attributes("GET /plain/<name>")
    assert not {"app-1", "run-1", "node-1"} & {str(value) for value in known.values()}
