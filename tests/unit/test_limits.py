"""What there are too many of below one run: left out whole, counted where it was, and told."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify import table as t
from otel_dify.export.sdk_outlets import SdkLogs
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.signals.logs import LogWriter
from otel_dify.sources.logging import LogBridge
from tests.recording import Recording, recording

SPANS, LOGS = 400, 500
"""Limits of these tests."""


@pytest.fixture
def limited() -> Iterator[Recording]:
    """Record with small limits."""
    with recording(OTEL_DIFY_RUN_SPANS=str(SPANS), OTEL_DIFY_RUN_LOGS=str(LOGS)) as made:
        yield made


@contextmanager
def within(kind: t.Kind, **known: Any) -> Iterator[Operation]:
    """Have an operation of a kind around a block, attributes by their names in the table."""
    operation = start(kind, {getattr(t, name): value for name, value in known.items()})
    with operation.active():
        yield operation
    operation.end()


@contextmanager
def a_run() -> Iterator[Operation]:
    with within(t.RUN, RUN_ID="run", APP_ID="app") as run:
        yield run


def node(kind: str, title: str) -> Any:
    return within(t.NODE, NODE_TYPE=kind, NODE_TITLE=title, NODE_ID=title)


def iterate(count: int, part: t.Kind = t.ITEM, work: Callable[[int], None] | None = None) -> None:
    """Run the parts of a container, in each a node that calls a model."""
    container = "iteration" if part is t.ITEM else "loop"
    with node(container, "each"):
        for number in range(count):
            with within(part, INDEX=number), node("llm", "Summarise") as inner:
                with within(t.MODEL_CALL, OPERATION_NAME="chat", REQUEST_MODEL="m") as call:
                    call.set(t.INPUT_TOKENS, 3)
                if work is not None:
                    work(number)
                del inner


def attributes(recorded: Recording, name: str) -> dict[str, Any]:
    return {key: value for key, value in recorded.attributes(name).items() if "left_out" in key}


@pytest.mark.parametrize(
    ("part", "count", "name"), [(t.ITEM, 10_000, "iteration"), (t.PASS, 1_000, "loop")]
)
def test_parts_beyond_the_limit_are_left_out_whole_and_counted(
    limited: Recording, part: t.Kind, count: int, name: str
) -> None:
    with a_run():
        iterate(count, part)

    kept = Counter(span.name for span in limited.spans)
    whole = kept[part.span_name]
    assert len(limited.spans) <= SPANS + 4
    assert kept["llm Summarise"] == kept["chat m"] == whole > SPANS // 4
    left = attributes(limited, f"{name} each")
    for kind in (part.name, "node", "model_call"):
        assert left[f"dify.left_out.{kind}.count"] == count - whole
        assert left[f"dify.left_out.{kind}.failed"] == 0
        assert left[f"dify.left_out.{kind}.duration"] >= left[f"dify.left_out.{kind}.slowest"] > 0
    assert attributes(limited, "invoke_workflow") == {
        "dify.left_out.spans": 3 * (count - whole),
        "dify.left_out.logs": 0,
    }
    told = f"; left out: {3 * (count - whole)} spans, 0 log records"
    assert limited.event(t.RUN.event).body.endswith(told)
    # One event a node and run that has a span.
    assert len(limited.events) <= 2 * whole + 2
    assert limited.total("dify.requests.total", type="node") == count + 1
    assert limited.total("gen_ai.client.token.usage") == 3 * count


def test_what_comes_after_an_iteration_is_not_left_out(limited: Recording) -> None:
    with a_run():
        iterate(SPANS)
        with node("llm", "Sum up"), within(t.MODEL_CALL, OPERATION_NAME="chat", REQUEST_MODEL="l"):
            pass
        iterate(3)

    assert limited.span("chat l").parent is not None
    # The second iteration is a node like any other; its items are three too many.
    second = [span for span in limited.spans if span.name == "iteration each"][1]
    assert dict(second.attributes or {})["dify.left_out.item.count"] == 3


def test_calls_of_one_node_have_a_limit_too(limited: Recording) -> None:
    with a_run(), node("tool", "Crawl"):
        for _ in range(3 * SPANS):
            with within(t.HTTP_CALL, HTTP_METHOD="GET"):
                pass
    with a_run(), node("code", "Work"), within(t.CUSTOM, CUSTOM_NAME="again"):
        pass

    assert Counter(span.name for span in limited.spans)["GET"] == 2 * SPANS - 1
    assert attributes(limited, "tool Crawl")["dify.left_out.http_call.count"] == SPANS + 1
    # Another run has a limit of its own.
    assert limited.span("again")


def test_failures_beyond_the_limit_are_kept_with_what_is_around_them(limited: Recording) -> None:
    def fail(number: int) -> None:
        if number % 20 == 19:
            with within(t.TOOL_CALL, TOOL_NAME=f"of {number}") as call:
                call.fail(ValueError("no"))

    with a_run():
        iterate(2_000, work=fail)

    spans = {span.context.span_id: span for span in limited.spans}
    failed = [span for span in spans.values() if span.name.startswith("execute_tool")]
    beyond = [span for span in failed if int(span.name.rpartition(" ")[2]) > SPANS // 3]
    assert len(beyond) == SPANS // 10
    for span in beyond:
        names = []
        above = span.parent
        while above is not None:
            names.append(spans[above.span_id].name)
            above = spans[above.span_id].parent
        assert names == ["llm Summarise", "iteration item", "iteration each", "invoke_workflow"]
    left = attributes(limited, "iteration each")
    assert left["dify.left_out.tool_call.failed"] == left["dify.left_out.tool_call.count"]
    assert left["dify.left_out.tool_call.failed"] + len(failed) == 100
    assert limited.total("dify.errors.total", type="tool") == 100


def test_a_run_in_a_run_has_no_limit_of_its_own(limited: Recording) -> None:
    with a_run():
        for _ in range(3):
            with within(t.TOOL_CALL, TOOL_NAME="inner"), within(t.RUN, RUN_ID="inner"):
                iterate(SPANS)

    assert len(limited.spans) <= 2 * SPANS


def test_a_query_in_what_is_left_out_is_counted_where_that_is(limited: Recording) -> None:
    def ask(_: int) -> None:
        operation = start(t.QUERY, {t.DB_SYSTEM: "postgresql", t.DB_OPERATION: "SELECT"})
        operation.end()

    with a_run():
        iterate(SPANS, work=ask)

    counted: list[Any] = [
        dict(span.attributes or {}).get("dify.db.query.count", 0) for span in limited.spans
    ]
    assert sum(counted) == SPANS


def test_foreign_spans_are_counted_where_there_are_too_many(limited: Recording) -> None:
    with a_run(), node("code", "Work"):
        for _ in range(3 * SPANS):
            with limited.tracer.start_as_current_span("theirs"):
                pass

    assert Counter(span.name for span in limited.spans)["theirs"] == 2 * SPANS - 1
    assert attributes(limited, "code Work")["dify.left_out.foreign.count"] == SPANS + 1
    assert attributes(limited, "invoke_workflow")["dify.left_out.spans"] == SPANS + 1


def test_without_limits_nothing_is_left_out() -> None:
    with recording(OTEL_DIFY_RUN_SPANS="0") as recorded:
        with a_run():
            iterate(5_000)
        assert len(recorded.spans) == 2 + 3 * 5_000
        assert not attributes(recorded, "invoke_workflow")


class Lines:
    """A log bridge in place, and what it has sent."""

    def __init__(self) -> None:
        self.memory: list[ReadableLogRecord] = []
        outlet = SdkLogs(self.memory.append, Resource({}), InstrumentationScope("test"))
        LogBridge(logging.INFO, lambda: LogWriter(outlet, 128, None)).attach()

    @property
    def levels(self) -> Counter[str | None]:
        """How many were sent, by level."""
        return Counter(log.log_record.severity_text for log in self.memory)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Attach a bridge for the test."""
    monkeypatch.setattr(logging.Logger, "callHandlers", logging.Logger.callHandlers)
    return Lines()


log = logging.getLogger("tests.limits")
log.setLevel(logging.DEBUG)
log.propagate = False
log.addHandler(logging.NullHandler())


def test_log_records_beyond_the_limit_are_left_out_warnings_not(
    limited: Recording, lines: Lines
) -> None:
    with a_run():
        for number in range(100_000):
            log.info("row %d", number)
        for _ in range(10):
            log.warning("odd")
            log.error("wrong")
    log.info("after it")

    assert lines.levels == {"INFO": LOGS + 1, "WARNING": 10, "ERROR": 10}
    assert attributes(limited, "invoke_workflow") == {
        "dify.left_out.spans": 0,
        "dify.left_out.logs": 100_000 - LOGS,
    }


def test_warnings_and_errors_have_a_limit_too(limited: Recording, lines: Lines) -> None:
    with a_run():
        for _ in range(3 * LOGS):
            log.error("wrong")
        log.info("still told")

    assert lines.levels == {"ERROR": LOGS, "INFO": 1}
    assert attributes(limited, "invoke_workflow")["dify.left_out.logs"] == 2 * LOGS


def test_what_is_no_run_or_task_has_no_limit(limited: Recording, lines: Lines) -> None:
    with within(t.REQUEST, HTTP_METHOD="GET"):
        for _ in range(2 * LOGS):
            log.info("row")

    assert lines.levels == {"INFO": 2 * LOGS}
    assert limited.spans
