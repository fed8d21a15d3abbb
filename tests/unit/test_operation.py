"""The life of one operation: what it inherits, what it hands up, and that it ends once."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode

from otel_dify import table as t
from otel_dify.cleaning.values import as_value
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from tests.recording import Recording, recording_by

MS = 1_000_000
SLOW_QUERY_MS = 100


class Calls:
    """A recorder that keeps what it sees."""

    def __init__(self) -> None:
        self.begun: list[Operation] = []
        self.done: list[Operation] = []

    def started(self, operation: Operation) -> None:
        """See a start."""
        self.begun.append(operation)

    def ended(self, operation: Operation) -> None:
        """See an end."""
        self.done.append(operation)


@pytest.fixture
def calls() -> Any:
    """Record what recorders are told."""
    recorder = Calls()
    with recording_by(SimpleNamespace(recorder=recorder)):
        yield recorder


def test_an_operation_inherits_who_and_what_but_nothing_else(calls: Calls) -> None:
    del calls
    run = start(t.RUN, {t.RUN_ID: "run", t.APP_ID: "app", t.RUN_STATUS: "succeeded"})
    node = start(t.NODE, {t.NODE_ID: "node"}, parent=run.context)
    call = start(t.MODEL_CALL, parent=node.context)
    assert call.get(t.RUN_ID) == "run"
    assert call.get(t.APP_ID) == "app"
    assert call.get(t.NODE_ID) == "node"
    assert call.get(t.RUN_STATUS) is None
    assert run.get(t.NODE_ID) is None


def test_what_is_learned_later_reaches_what_starts_later(calls: Calls) -> None:
    del calls
    run = start(t.RUN)
    early = start(t.NODE, parent=run.context)
    run.set(t.RUN_ID, "run")
    late = start(t.NODE, parent=run.context)
    assert early.get(t.RUN_ID) is None
    assert late.get(t.RUN_ID) == "run"


def test_ids_are_handed_up_to_the_request_and_the_first_stays(calls: Calls) -> None:
    """The request's span is found by the run id, made long after its start; not by its nodes."""
    del calls
    request = start(t.REQUEST)
    run = start(t.RUN, {t.RUN_ID: "first"}, parent=request.context)
    node = start(t.NODE, {t.NODE_ID: "node"}, parent=run.context)
    start(t.RUN, {t.RUN_ID: "second"}, parent=request.context)
    assert request.get(t.RUN_ID) == "first"
    assert request.get(t.NODE_ID) is None
    assert run.get(t.NODE_ID) is None
    assert node.get(t.RUN_ID) == "first"


def test_what_was_handed_up_is_inherited_by_what_starts_next_to_it(calls: Calls) -> None:
    """Queries that a task makes after its run has ended belong to the run as well."""
    del calls
    task = start(t.TASK)
    start(t.RUN, {t.RUN_ID: "run", t.TENANT_ID: "tenant"}, parent=task.context).end()
    query = start(t.QUERY, parent=task.context)
    assert query.get(t.RUN_ID) == "run"
    assert query.get(t.TENANT_ID) == "tenant"


def test_an_operation_ends_once(calls: Calls) -> None:
    operation = start(t.NODE)
    operation.end(operation.start_ns + 5 * MS)
    operation.end(operation.start_ns + 9 * MS)
    assert calls.done == [operation]
    assert operation.end_ns - operation.start_ns == 5 * MS


def test_the_first_failure_is_the_cause_and_stays(calls: Calls) -> None:
    del calls
    operation = start(t.NODE)
    operation.fail(TimeoutError("slow"))
    operation.fail("the engine gave up", "EngineError")
    assert operation.get(t.ERROR_TYPE) == "TimeoutError"
    assert operation.get(t.ERROR_MESSAGE) == "slow"
    assert operation.get(t.ERROR_CATEGORY) == "timeout"


def test_an_ended_operation_holds_no_exception(calls: Calls) -> None:
    """An exception holds its frames, and with them whatever Dify had in its hands."""
    del calls
    operation = start(t.NODE)
    operation.fail(ValueError("x"))
    operation.end()
    assert operation.error is None
    assert operation.failed


@pytest.mark.parametrize(
    ("fail", "told", "status"),
    [
        (False, None, "succeeded"),
        (True, None, "failed"),
        (False, "stopped", "stopped"),
        (True, "exception", "exception"),
    ],
)
def test_the_outcome_is_what_the_source_told_or_else_follows(
    recorded: Recording, fail: bool, told: str | None, status: str
) -> None:
    operation = start(t.NODE, {t.NODE_TYPE: "llm"})
    operation.set(t.NODE_STATUS, told)
    if fail:
        operation.fail("x")
    operation.end()
    assert recorded.attributes("llm")[t.NODE_STATUS.key] == status
    assert recorded.total("dify.requests.total", status=status) == 1
    assert recorded.total("dify.errors.total", type="node") == int(fail)


def test_a_clock_that_is_set_back_makes_no_negative_duration(recorded: Recording) -> None:
    operation = start(t.RUN, at_ns=2_000 * MS)
    operation.end(1_000 * MS)
    [point] = recorded._points("dify.workflow.duration")
    assert point.sum == 0
    assert recorded.counts("dify.workflow.duration", "status") == {"succeeded": 1}


def test_an_operation_is_current_only_within_its_block(calls: Calls) -> None:
    del calls
    assert current() is None
    operation = start(t.RUN)
    assert current() is None
    with operation.active():
        assert current() is operation
        inner = start(t.NODE)
        with inner.active():
            assert current() is inner
        assert current() is operation
    assert current() is None
    assert inner.parent is operation


def test_an_operation_started_here_may_be_ended_on_another_thread(recorded: Recording) -> None:
    operation = start(t.RUN, {t.APP_NAME: "app"})
    thread = threading.Thread(target=operation.end)
    thread.start()
    thread.join()
    assert [span.name for span in recorded.spans] == ["invoke_workflow app"]


def test_nothing_is_set_where_nothing_is_known(calls: Calls) -> None:
    del calls
    operation = start(t.NODE, {t.NODE_ID: None, t.NODE_TITLE: "", t.NODE_RETRIES: 0})
    assert t.NODE_ID.key not in operation.attributes
    assert t.NODE_TITLE.key not in operation.attributes
    assert operation.get(t.NODE_RETRIES) == 0


def test_span_point_and_event_of_one_operation_belong_together(recorded: Recording) -> None:
    before = time.time_ns()
    run = start(t.RUN, {t.APP_NAME: "app", t.RUN_ID: "run"})
    run.happened("retry", {t.NODE_RETRY_INDEX: 1})
    run.fail(ValueError("api_key=S3CRET"))
    run.end()
    span, event = recorded.span("invoke_workflow app"), recorded.event("dify.workflow.run")
    assert (event.trace_id, event.span_id) == (span.context.trace_id, span.context.span_id)
    assert span.status.status_code is StatusCode.ERROR
    assert "S3CRET" not in str(span.to_json()) + str(event.body) + str(event.attributes)
    assert [(happened.name, dict(happened.attributes or {})) for happened in span.events] == [
        ("retry", {"dify.node.retry_index": 1})
    ]
    assert before <= (span.start_time or 0) <= (span.end_time or 0) == event.timestamp
    assert event.body.startswith("run run failed in 0.0")
    assert "ValueError" in event.attributes["exception.stacktrace"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("0.25"), 0.25),
        (["a", 1], ("a", "1")),
        (("a",), ("a",)),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        ({"a": 1}, "{'a': 1}"),
    ],
)
def test_values_become_what_opentelemetry_accepts(value: object, expected: object) -> None:
    assert as_value(value) == expected


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.binary(), st.none()))
def test_every_value_becomes_one_that_opentelemetry_accepts(value: object) -> None:
    assert isinstance(as_value(value), str | bool | int | float | list)


# Folding.


def _query(recorded: Recording, parent: Operation | None, ms: int, *, failed: bool = False) -> bool:
    """Make a query of so many milliseconds; tell whether it has got a span."""
    before = len(recorded.spans)
    context = Context() if parent is None else parent.context
    query = start(t.QUERY, {t.DB_OPERATION: "SELECT"}, parent=context, at_ns=1_000 * MS)
    if failed:
        query.fail(ValueError("x"))
    query.end((1_000 + ms) * MS)
    return len(recorded.spans) > before


@pytest.mark.parametrize(
    ("parent", "ms", "failed", "span"),
    [
        (True, SLOW_QUERY_MS - 1, False, False),
        (True, SLOW_QUERY_MS, False, True),
        (True, 1, True, True),
        (False, 1, False, False),
        (False, SLOW_QUERY_MS * 10, False, False),
        (False, 1, True, False),
    ],
)
def test_a_query_has_a_span_where_somebody_will_look_at_it(
    recorded: Recording, parent: bool, ms: int, failed: bool, span: bool
) -> None:
    """Slow or failed, below something: else it is counted, and its metrics are recorded."""
    run = start(t.RUN, {t.APP_NAME: "app"}) if parent else None
    assert _query(recorded, run, ms, failed=failed) is span
    assert recorded.counts("db.client.operation.duration", "db.operation.name") == {"SELECT": 1}
    if run is not None:
        run.end()
        known = recorded.attributes("invoke_workflow app")
        assert known.get(t.DB_QUERIES.key, 0) == (0 if span else 1)


def test_folded_queries_add_up_on_the_operation_above(recorded: Recording) -> None:
    run = start(t.RUN, {t.APP_NAME: "app"})
    for ms in (10, 20, 30):
        _query(recorded, run, ms)
    run.end()
    known = recorded.attributes("invoke_workflow app")
    assert known[t.DB_QUERIES.key] == 3
    assert known[t.DB_TIME.key] == pytest.approx(0.06)


def test_a_checkout_is_no_query(recorded: Recording) -> None:
    run = start(t.RUN, {t.APP_NAME: "app"})
    start(t.CHECKOUT, parent=run.context).end()
    run.end()
    assert t.DB_QUERIES.key not in recorded.attributes("invoke_workflow app")


def test_queries_fold_into_the_nearest_operation_that_has_a_span(recorded: Recording) -> None:
    """What lies below a query that folds belongs to the operation above the query."""
    run = start(t.RUN, {t.APP_NAME: "app"})
    query = start(t.QUERY, parent=run.context)
    with query.active():
        call = start(t.HTTP_CALL, {t.HTTP_METHOD: "GET"})
        call.end()
    query.end()
    run.end()
    assert recorded.span("GET").parent is not None
    assert recorded.tree() == "invoke_workflow app\n  GET"


def test_a_span_of_somebody_else_is_the_parent(recorded: Recording) -> None:
    above = trace.SpanContext(1, 2, is_remote=True, trace_flags=trace.TraceFlags(1))
    context = trace.set_span_in_context(trace.NonRecordingSpan(above), Context())
    start(t.RUN, {t.APP_NAME: "app"}, parent=context).end()
    parent = recorded.span("invoke_workflow app").parent
    assert parent is not None
    assert parent.span_id == 2
    assert context_api.get_current() == Context()


@pytest.mark.parametrize(
    ("own", "text", "error_type", "category"),
    [
        ("HttpRequestNodeError", "it timed out", "ReadTimeout", "timeout"),
        ("HttpRequestNodeError", "no such host", "HttpRequestNodeError", "internal"),
        ("InvokeRateLimitError", "it timed out", "InvokeRateLimitError", "rate_limit"),
    ],
)
def test_a_type_that_says_nothing_gives_way_to_that_of_the_cause(
    recorded: Recording, own: str, text: str, error_type: str, category: str
) -> None:
    del recorded
    node = start(t.NODE)
    call = start(t.HTTP_CALL, parent=node.context)
    call.fail("timed out", "ReadTimeout")
    node.fail(text, own)
    assert node.get(t.ERROR_TYPE) == error_type
    assert node.get(t.ERROR_CATEGORY) == category


class _Mode(str, Enum):  # noqa: UP042 - as Dify has them; its `str` is another text
    WEB = "web-app"


class _Level(IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [(_Mode.WEB, "web-app"), (_Level.HIGH, 3), (1.5, 1.5), (True, True), (2**70, str(2**70))],
)
def test_values_are_of_plain_types(value: object, plain: object) -> None:
    """What is noted of a start, and what is kept encoded, is told apart by its exact type."""
    made = as_value(value)
    assert (type(made), made) == (type(plain), plain)
