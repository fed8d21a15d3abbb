"""Libraries watched through OpenTelemetry's instrumentations: their spans become operations."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
import redis
import sqlalchemy
from celery import Celery
from opentelemetry import context as context_api
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from examples.host.children import free_port
from otel_dify import guard
from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.sources.libraries.bridge import BridgedSpan, BridgeProvider, BridgeTracer
from tests.recording import Recording, recording_by

type Watch = Callable[[str], ModuleType]


@pytest.fixture(autouse=True)
def context_is_left_as_it_was() -> Iterator[None]:
    """Fail a test that leaves a context behind."""
    yield
    assert context_api.get_current() == Context()


@pytest.fixture
def run() -> Operation:
    """Start what queries and calls may lie in."""
    return start(t.RUN, {t.APP_NAME: "app"})


# The bridge by itself.


def tracer(**parts: Any) -> BridgeTracer:
    """Make a bridge for every kind of span that is tried here."""
    chosen: dict[str, Any] = {
        "kinds": {
            SpanKind.CLIENT: t.HTTP_CALL,
            SpanKind.SERVER: t.REQUEST,
            SpanKind.CONSUMER: t.TASK,
        },
        "refine": lambda _operation, _name: None,
        "started": lambda _span: None,
        "ignored": lambda _name: False,
    }
    return BridgeTracer(**{**chosen, **parts})


READ = (
    "name",
    "kind",
    "attributes",
    "status",
    "parent",
    "context",
    "resource",
    "events",
    "links",
    "start_time",
    "end_time",
    "instrumentation_scope",
    "something_new",
)


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", [SpanKind.CLIENT, SpanKind.INTERNAL])
def test_reading_of_a_span_what_only_the_sdk_has_never_raises(
    recorded: Recording, kind: SpanKind, name: str
) -> None:
    """Instrumentations do so inside Dify's own calls."""
    del recorded
    span = tracer().start_span("GET", kind=kind)
    getattr(span, name)
    assert span.name == "GET"  # type: ignore[attr-defined] # what they rely on
    assert span.kind is kind  # type: ignore[attr-defined] # the same
    assert "x" not in span.attributes  # type: ignore[attr-defined] # the same
    span.end()


def test_attributes_that_the_kind_has_are_taken_under_their_new_names(recorded: Recording) -> None:
    span = tracer().start_span(
        "x", kind=SpanKind.CLIENT, attributes={"http.method": "GET", "http.flavor": "1.1"}
    )
    span.set_attributes({"http.status_code": 200, "net.peer.name": "host", "server.port": 80})
    span.set_attribute("url.full", "")
    span.set_attribute("net.peer.port", None)
    span.end()
    assert recorded.attributes("GET") == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "host",
        "server.port": 80,
    }


def test_a_span_ends_once_and_takes_nothing_afterwards(recorded: Recording) -> None:
    span = tracer().start_span("x", kind=SpanKind.CLIENT, attributes={"http.method": "GET"})
    assert span.is_recording()
    span.end()
    span.end()
    assert not span.is_recording()
    assert len(recorded.spans) == 1


def test_a_failure_while_starting_does_not_reach_the_application() -> None:
    def broken(_: BridgedSpan) -> None:
        raise ValueError("a source's mistake")

    guard.caught().clear()
    span = tracer(started=broken).start_span("GET", kind=SpanKind.CLIENT)
    span.set_attribute("http.method", "GET")
    span.record_exception(ValueError("x"))
    span.set_status(StatusCode.ERROR)
    span.add_event("x")
    span.update_name("y")
    span.end()
    assert sum(guard.caught().values()) == 1
    guard.caught().clear()


class Broken:
    """A recorder that fails."""

    def started(self, operation: Operation) -> None:
        """Fail."""
        raise RuntimeError(operation.kind.name)

    def ended(self, operation: Operation) -> None:
        """Fail."""
        raise RuntimeError(operation.kind.name)


class BrokenAtEnd(Broken):
    """A recorder that fails later."""

    def started(self, operation: Operation) -> None:
        """See nothing."""


@pytest.fixture(params=[Broken, BrokenAtEnd])
def failing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make every recorder fail, and expect that."""
    guard.caught().clear()
    with recording_by(SimpleNamespace(recorder=request.param())):
        yield
    assert guard.caught()
    guard.caught().clear()


def test_the_provider_gives_the_bridge_whatever_the_scope() -> None:
    bridge = tracer()
    assert BridgeProvider(bridge).get_tracer("any", "1.0", schema_url="x") is bridge


# SQLAlchemy.


def engine(watched: Watch) -> sqlalchemy.Engine:
    """Make a database in memory that is watched."""
    made: sqlalchemy.Engine = watched("sqlalchemy").create_engine("sqlite://")
    return made


def test_queries_are_counted_and_not_each_a_span(
    watched: Watch, recorded: Recording, run: Operation
) -> None:
    database = engine(watched)
    with run.active(), database.connect() as connection:
        for number in range(3):
            connection.execute(sqlalchemy.text(f"SELECT {number}, 'S3CRET'"))
    run.end()
    assert [span.name for span in recorded.spans] == ["invoke_workflow app"]
    assert recorded.attributes("invoke_workflow app")["dify.db.query.count"] == 3
    counts = recorded.counts("db.client.operation.duration", "db.operation.name")
    assert counts["SELECT"] == 3
    database.dispose()


def test_a_failed_query_has_a_span_without_values(
    watched: Watch, recorded: Recording, run: Operation
) -> None:
    database = engine(watched)
    statement = "SELECT * FROM nowhere WHERE name = 'it''s S3CRET' AND age > 17 AND x1 = :x"
    with (
        run.active(),
        database.connect() as connection,
        pytest.raises(sqlalchemy.exc.OperationalError),
    ):
        connection.execute(sqlalchemy.text(statement), {"x": "S3CRET"})
    run.end()
    [query] = [span for span in recorded.spans if span.name.startswith("SELECT")]
    assert query.status.status_code is StatusCode.ERROR
    known = dict(query.attributes or {})
    assert known["db.query.text"] == "SELECT * FROM nowhere WHERE name = ? AND age > ? AND x1 = ?"
    assert known["db.system.name"] == "sqlite"
    assert known["error.type"] == "OperationalError"
    assert "S3CRET" not in str(known)
    database.dispose()


def test_a_query_works_where_all_our_recorders_fail(watched: Watch, failing: None) -> None:
    del failing
    database = engine(watched)
    with database.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 7")).scalar() == 7
    database.dispose()


# Redis.


def test_a_command_that_fails_fails_as_before(
    watched: Watch, recorded: Recording, run: Operation
) -> None:
    client = watched("redis").Redis(port=free_port(), retry=None)
    with run.active(), pytest.raises(redis.ConnectionError):
        client.get("S3CRET-key")
    run.end()
    [query] = [span for span in recorded.spans if span.name.startswith("GET")]
    known = dict(query.attributes or {})
    assert known["error.type"] == "ConnectionError"
    assert known["db.system.name"] == "redis"
    assert "S3CRET" not in str(known.get("db.query.text"))
    client.close()


def test_a_pipeline_that_fails_fails_as_before(watched: Watch, recorded: Recording) -> None:
    client = watched("redis").Redis(port=free_port(), retry=None)
    pipeline = client.pipeline()
    pipeline.set("a", 1).incr("b")
    with pytest.raises(redis.ConnectionError):
        pipeline.execute()
    counts = recorded.counts("db.client.operation.duration", "db.operation.name")
    assert set(counts) <= {"MULTI", "SET", "PIPELINE", "INCR"}
    assert sum(counts.values()) == 1
    client.close()


def test_a_command_reaches_redis_where_all_our_recorders_fail(
    watched: Watch, failing: None
) -> None:
    del failing
    client = watched("redis").Redis(port=free_port(), retry=None)
    with pytest.raises(redis.ConnectionError):
        client.ping()
    client.close()


# HTTPX.


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got and the status asked for."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(int(self.path.partition("?")[0].strip("/") or 200))
        body = str(dict(self.headers)).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """Serve what echoes its headers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_a_call_is_an_operation_and_sends_the_trace_on(
    watched: Watch, recorded: Recording, run: Operation, server: str
) -> None:
    watched("httpx")
    with run.active(), httpx.Client() as client:
        answer = client.get(f"{server}/200?api_key=S3CRET")
    run.end()
    call = recorded.span("GET")
    known = dict(call.attributes or {})
    assert known["http.response.status_code"] == 200
    assert known["server.address"] == "127.0.0.1"
    assert known["server.port"] == int(server.rpartition(":")[2])
    assert known["url.full"] == f"{server}/200"
    assert f"{call.context.trace_id:032x}-{call.context.span_id:016x}" in answer.text
    assert recorded.tree() == "invoke_workflow app\n  GET"
    assert recorded.counts("http.client.request.duration", "http.response.status_code") == {200: 1}


def test_an_answer_that_is_an_error_is_a_failed_call(
    watched: Watch, recorded: Recording, server: str
) -> None:
    watched("httpx")
    with httpx.Client() as client:
        assert client.get(f"{server}/503").status_code == 503
    known = recorded.attributes("GET")
    assert known["error.type"] == "503"
    assert known["dify.error.message"] == "HTTP status 503"


def test_a_call_that_cannot_connect_raises_as_before(watched: Watch, recorded: Recording) -> None:
    watched("httpx")
    with httpx.Client() as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://127.0.0.1:{free_port()}/")
    assert recorded.attributes("GET")["error.type"] == "ConnectError"


def test_a_streamed_answer_is_read_as_before(
    watched: Watch, recorded: Recording, server: str
) -> None:
    watched("httpx")
    with httpx.Client() as client, client.stream("GET", server) as answer:
        assert b"traceparent" in answer.read()
    assert recorded.attributes("GET")["http.response.status_code"] == 200


def test_a_call_works_where_all_our_recorders_fail(
    watched: Watch, failing: None, server: str
) -> None:
    del failing
    watched("httpx")
    with httpx.Client() as client:
        assert client.get(server).status_code == 200


# Celery.


@pytest.fixture
def celery(watched: Watch) -> Celery:
    """Make an app whose tasks run where they are sent, and attach to it."""
    watched("celery")
    app = Celery("tests", broker="memory://", backend="cache+memory://")
    app.conf.task_always_eager = True
    app.conf.task_store_eager_result = True
    return app


def test_a_task_is_an_operation_with_its_name_and_outcome(
    celery: Celery, recorded: Recording
) -> None:
    @celery.task(name="tests.works")
    def works(number: int) -> int:
        start(t.RUN, {t.RUN_ID: "run"}).end()
        return number

    assert works.delay(7).get() == 7
    known = recorded.attributes("process tests.works")
    assert known["celery.task_name"] == "tests.works"
    assert known["celery.state"] == "SUCCESS"
    assert known["messaging.system"] == "celery"
    assert known["messaging.operation.name"] == "process"
    assert known["dify.workflow.run_id"] == "run"
    assert recorded.event("dify.task.execution").body.startswith("task tests.works succeeded in")
    assert recorded.counts("messaging.process.duration", "celery.state") == {"SUCCESS": 1}


def test_a_task_that_fails_is_a_failed_operation(celery: Celery, recorded: Recording) -> None:
    @celery.task(name="tests.fails")
    def fails() -> None:
        raise LookupError("no such document")

    with pytest.raises(LookupError):
        fails.delay().get()
    known = recorded.attributes("process tests.fails")
    assert known["error.type"] == "LookupError"
    assert known["dify.error.message"] == "no such document"
    assert known["celery.state"] == "FAILURE"


def test_a_task_that_is_tried_again_is_several_operations(
    celery: Celery, recorded: Recording
) -> None:
    @celery.task(name="tests.again", bind=True, max_retries=2)
    def again(self: Any) -> str:
        if self.request.retries < 1:
            raise self.retry(exc=ConnectionError("busy"), countdown=0)
        return "done"

    assert again.delay().get() == "done"
    states = [
        (span.attributes or {}).get("celery.state")
        for span in recorded.spans
        if span.name == "process tests.again"
    ]
    assert sorted(str(state) for state in states) == ["RETRY", "SUCCESS"]


def test_a_task_that_polls_makes_no_operation(celery: Celery, recorded: Recording) -> None:
    @celery.task(name="schedule.queue_monitor_task.queue_monitor_task")
    def poll() -> None:
        work.delay()

    @celery.task(name="tests.work")
    def work() -> None:
        pass

    poll.delay()
    assert recorded.tree() == "process tests.work"


def test_a_task_runs_where_all_our_recorders_fail(celery: Celery, failing: None) -> None:
    del failing

    @celery.task(name="tests.still")
    def still() -> str:
        return "here"

    assert still.delay().get() == "here"


def test_nothing_of_a_bridged_span_that_is_not_sampled_is_lost(recorded: Recording) -> None:
    """Its context is passed on, so that what lies below it stays below what is above it."""
    above = start(t.RUN, {t.APP_NAME: "app"})
    with above.active():
        inert = tracer().start_span("internal", kind=SpanKind.INTERNAL)
        with trace.use_span(inert, end_on_exit=True):
            carrier: dict[str, str] = {}
            propagate.inject(carrier)
            start(t.QUERY).end()
    above.end()
    context = recorded.span("invoke_workflow app").context
    assert f"{context.span_id:016x}" in carrier["traceparent"]
    assert recorded.attributes("invoke_workflow app")["dify.db.query.count"] == 1
