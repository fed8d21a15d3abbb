"""The log bridge: every log record of the process, with the ids of what it was written in."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from otel_dify import guard
from otel_dify import table as t
from otel_dify.cleaning.known_content import PLACEHOLDER
from otel_dify.export.sdk_outlets import SdkLogs
from otel_dify.operations.current import start
from otel_dify.settings import Settings
from otel_dify.signals.logs import LogWriter
from otel_dify.sources.dify import prints
from otel_dify.sources.logging import HELD, LogBridge, severity_of
from otel_dify.startup import said_by_spans
from tests.recording import Recording


class Bridged:
    """A bridge that is attached, and what it has sent."""

    def __init__(self) -> None:
        self._memory: list[ReadableLogRecord] = []
        outlet = SdkLogs(self._memory.append, Resource({}), InstrumentationScope("test"))
        self._writer = LogWriter(outlet, 128, None)
        self.may_send = True
        self.gives: Callable[[], LogWriter | None] = lambda: self._writer if self.may_send else None
        self.bridge = LogBridge(logging.INFO, self._give)
        self.bridge.attach()

    def attach_with_content(self) -> None:
        """Attach another bridge, which sends content."""
        LogBridge(logging.INFO, self._give, content=True).attach()

    def attach_without(self, *names: str) -> None:
        """Attach a bridge in place of the first, which leaves out what these loggers say."""
        logging.Logger.callHandlers = logging.Logger.callHandlers.__wrapped__  # type: ignore[attr-defined,method-assign] # what attaching replaced
        LogBridge(logging.INFO, self._give, left_out=frozenset(names)).attach()

    def _give(self) -> LogWriter | None:
        return self.gives()

    @property
    def sent(self) -> list[Any]:
        """The log records sent."""
        return [log.log_record for log in self._memory]

    @property
    def bodies(self) -> list[str]:
        """Their texts."""
        return [record.body for record in self.sent]


@pytest.fixture
def bridged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridged]:
    """Attach a bridge for the test."""
    # Attaching replaces it; monkeypatch puts the original back.
    monkeypatch.setattr(logging.Logger, "callHandlers", logging.Logger.callHandlers)
    guard.caught().clear()
    made = Bridged()
    yield made
    guard.caught().clear()


log = logging.getLogger("tests.log_bridge")
log.setLevel(logging.DEBUG)


def test_a_record_has_the_ids_of_its_span_and_the_names_of_its_run(
    bridged: Bridged, recorded: Recording
) -> None:
    run = start(t.RUN, {t.RUN_ID: "run", t.APP_ID: "app", t.RUN_STATUS: "x"})
    node = start(t.NODE, {t.NODE_ID: "node"}, parent=run.context)
    with node.active():
        log.info("in %s", "here")
    node.end()
    log.info("outside")
    inside, outside = bridged.sent
    span = node.span_context
    assert (inside.trace_id, inside.span_id) == (span.trace_id, span.span_id)
    assert inside.body == "in here"
    assert inside.attributes["dify.workflow.run_id"] == "run"
    assert inside.attributes["dify.app_id"] == "app"
    assert inside.attributes["dify.node.id"] == "node"
    assert "dify.workflow.status" not in inside.attributes
    assert (outside.trace_id, outside.span_id) == (0, 0)
    assert "dify.workflow.run_id" not in outside.attributes
    assert recorded.spans


def test_a_record_within_a_query_has_the_ids_of_the_span_above(
    bridged: Bridged, recorded: Recording
) -> None:
    """A query that folds has no span of its own that could be found."""
    del recorded
    run = start(t.RUN)
    query = start(t.QUERY, parent=run.context)
    with query.active():
        log.info("connecting")
    [record] = bridged.sent
    assert record.span_id == run.span_context.span_id


def test_a_record_says_where_it_was_written(bridged: Bridged) -> None:
    log.warning("x")
    [record] = bridged.sent
    assert record.attributes["log.logger"] == "tests.log_bridge"
    assert record.attributes["code.file.path"] == __file__
    assert record.attributes["code.function.name"] == "test_a_record_says_where_it_was_written"
    assert isinstance(record.attributes["code.line.number"], int)
    assert record.attributes["thread.name"] == threading.current_thread().name
    assert record.severity_text == "WARNING"
    assert record.timestamp


def test_an_exception_becomes_type_message_and_stack(bridged: Bridged) -> None:
    try:
        dict[str, str]()["no such app, api_key=S3CRET"]
    except KeyError:
        log.exception("failed")
    [record] = bridged.sent
    assert record.attributes["exception.type"] == "KeyError"
    assert record.attributes["exception.message"] == "'no such app, api_key=***'"
    assert "Traceback (most recent call last)" in record.attributes["exception.stacktrace"]
    assert "S3CRET" not in str(record.attributes)


def test_extra_fields_become_attributes_and_do_not_replace_ours(bridged: Bridged) -> None:
    extra = {
        "order": 7,
        "tags": ["a", 1],
        "thing": {"a": 1},
        "nothing": None,
        "log.logger": "somebody else's",
        "_private": "x",
    }
    log.info("x", extra=extra)
    [record] = bridged.sent
    known = record.attributes
    assert known["order"] == 7
    assert list(known["tags"]) == ["a", "1"]
    assert known["thing"] == "{'a': 1}"
    assert known["log.logger"] == "tests.log_bridge"
    assert not {"nothing", "_private", "message", "args", "exc_info"} & set(known)


def test_secrets_are_masked_in_text_and_fields(bridged: Bridged) -> None:
    log.info(
        "login with password=%s",
        "S3CRET",
        extra={
            "api_key": "S3CRET",
            "headers": {"Authorization": "Bearer S3CRET"},
            "url": "https://host/?token=S3CRET",
            "pairs": ["token=S3CRET"],
        },
    )
    [record] = bridged.sent
    assert "S3CRET" not in record.body + str(record.attributes)
    assert record.attributes["api_key"] == "***"


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (5, SeverityNumber.TRACE),
        (logging.DEBUG, SeverityNumber.DEBUG),
        (logging.INFO, SeverityNumber.INFO),
        (25, SeverityNumber.INFO),
        (logging.WARNING, SeverityNumber.WARN),
        (logging.ERROR, SeverityNumber.ERROR),
        (logging.CRITICAL, SeverityNumber.FATAL),
        (60, SeverityNumber.FATAL),
    ],
)
def test_levels_become_severities(level: int, severity: SeverityNumber) -> None:
    assert severity_of(level) is severity


def test_records_below_the_level_are_not_sent(bridged: Bridged) -> None:
    log.debug("no")
    log.info("yes")
    assert bridged.bodies == ["yes"]


def test_records_wait_until_the_process_may_send_the_latest_of_them(bridged: Bridged) -> None:
    bridged.may_send = False
    for number in range(HELD + 5):
        log.info("%d", number)
    assert bridged.sent == []
    bridged.may_send = True
    log.info("now")
    assert bridged.bodies == [*(str(number) for number in range(5, HELD + 5)), "now"]


def test_a_record_that_waited_keeps_the_ids_it_was_written_with(
    bridged: Bridged, recorded: Recording
) -> None:
    del recorded
    run = start(t.RUN, {t.RUN_ID: "run"})
    bridged.may_send = False
    with run.active():
        log.info("early")
    bridged.may_send = True
    log.info("late")
    early, late = bridged.sent
    assert early.span_id == run.span_context.span_id
    assert early.attributes["dify.workflow.run_id"] == "run"
    assert late.span_id == 0


def test_a_record_that_waited_is_sent_as_it_was_written(bridged: Bridged) -> None:
    """Its arguments may have changed since."""
    bridged.may_send = False
    rows = ["one"]
    log.info("rows: %s", rows)
    rows.append("two")
    bridged.may_send = True
    log.info("late")
    assert bridged.bodies == ["rows: ['one']", "late"]


def test_a_child_forgets_what_waits_in_its_parent(bridged: Bridged) -> None:
    bridged.may_send = False
    log.info("parent's")
    bridged.bridge.forked()
    bridged.may_send = True
    log.info("child's")
    assert bridged.bodies == ["child's"]


def test_a_logger_that_does_not_propagate_is_seen(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    loner = logging.getLogger("tests.loner")
    monkeypatch.setattr(loner, "propagate", False)
    monkeypatch.setattr(loner, "handlers", [logging.NullHandler()])
    loner.setLevel(logging.INFO)
    loner.info("alone")
    assert bridged.bodies == ["alone"]


def test_replacing_the_handlers_of_the_root_changes_nothing(bridged: Bridged) -> None:
    """Dify does so when it starts."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        logging.basicConfig(force=True, handlers=[logging.NullHandler()])
        log.info("still here")
    finally:
        for handler in list(root.handlers):
            root.removeHandler(handler)
        for handler in handlers:
            root.addHandler(handler)
        root.setLevel(level)
    assert bridged.bodies == ["still here"]


def test_each_record_is_sent_once_whatever_handlers_there_are(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "handlers", [logging.NullHandler(), logging.NullHandler()])
    log.info("once")
    assert bridged.bodies == ["once"]


def test_what_is_logged_while_sending_is_not_sent(bridged: Bridged) -> None:
    """It would be sent for ever."""
    with suppress_instrumentation():
        log.error("connection refused")
    assert bridged.sent == []


def test_logging_inside_the_export_does_not_loop(bridged: Bridged) -> None:
    """Whether or not the exporter has suppressed instrumentation."""
    gives, depth = bridged.gives, 0

    def noisy() -> LogWriter | None:
        nonlocal depth
        depth += 1
        log.info("making the pipeline, %d", depth)
        return gives()

    bridged.gives = noisy
    log.info("first")
    assert depth == 1
    assert "first" in bridged.bodies


def test_two_threads_may_log_at_once(bridged: Bridged) -> None:
    """What keeps a thread from looping must not keep another one from being heard."""
    entered, other_logged = threading.Event(), threading.Event()
    gives = bridged.gives

    def slow() -> LogWriter | None:
        if threading.current_thread().name == "slow":
            entered.set()
            assert other_logged.wait(30)
        return gives()

    bridged.gives = slow
    thread = threading.Thread(target=log.info, args=("slow",), name="slow")
    thread.start()
    assert entered.wait(30)
    log.info("fast")
    other_logged.set()
    thread.join()
    assert sorted(bridged.bodies) == ["fast", "slow"]


@pytest.mark.parametrize("args", [("%d", "no number"), ("%s %s", "one"), ("%(x)s", {"y": 1})])
def test_a_record_whose_text_cannot_be_made_is_the_applications_own_matter(
    bridged: Bridged, args: tuple[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python prints such errors; we add nothing and send what there is."""
    monkeypatch.setattr(log, "propagate", False)
    monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
    log.info(*args)
    assert not guard.caught()
    assert bridged.bodies == [args[0]]


def test_a_failure_of_ours_does_not_reach_who_logs(
    bridged: Bridged, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> LogWriter | None:
        raise ValueError("no pipeline")

    bridged.gives = broken
    log.info("one")
    log.info("two")
    assert guard.caught() == {("otel_dify.sources.logging", "ValueError"): 2}
    ours = [record for record in caplog.records if record.name == "otel_dify"]
    assert len(ours) == 1


@pytest.mark.usefixtures("bridged")
def test_a_handler_that_raises_raises_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raises(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError(record.getMessage())

    monkeypatch.setattr(log, "handlers", [Raises()])
    with pytest.raises(RuntimeError, match="hot"):
        log.info("hot")
    assert not guard.caught()


def test_a_foreign_span_is_named_as_well(bridged: Bridged) -> None:
    context = trace.SpanContext(5, 6, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        log.info("x")
    [record] = bridged.sent
    assert (record.trace_id, record.span_id) == (5, 6)


RUN_INPUTS = "workflow_based_app_execution_task run with params: %s"
QUESTION = "Why was the salary of Ms Smith cut"


def test_what_users_wrote_is_left_out_of_the_records_that_hold_it(bridged: Bridged) -> None:
    """Dify's worker logs the inputs of a run, Celery the arguments of a task."""
    log.info(RUN_INPUTS, "{'query': 'no'}")
    celery = logging.getLogger("celery.app.trace")
    celery.error("Task %s failed", "t", extra={"data": {"args": "secret"}, "other": "kept"})
    log.warning("of another logger", extra={"data": "kept"})

    params, task, other = bridged.sent
    assert params.body == RUN_INPUTS
    assert task.body == "Task t failed"
    assert "data" not in task.attributes
    assert task.attributes["other"] == "kept"
    assert other.attributes["data"] == "kept"


@pytest.mark.usefixtures("recorded")
def test_a_line_is_sent_without_the_content_of_the_operations_around_it(bridged: Bridged) -> None:
    task = start(t.TASK)
    task.knows({"query": QUESTION})
    with task.active():
        log.info("Task got %s", {"query": QUESTION, "stream": True})
        node = start(t.NODE, {t.NODE_INPUTS: {"city": "Paris"}})
        call = start(t.MODEL_CALL, parent=node.context)
        call.set(t.OUTPUT_MESSAGES, lambda: [{"content": "No JSON, but: she was ill for long"}])
        call.end()
        with node.active():
            log.error("extra error: No JSON, but: she was ill for long")
            log.warning("weather", extra={"asked": QUESTION, "place": "Paris"})
    assert bridged.bodies == [
        f"Task got {{'query': '{PLACEHOLDER}', 'stream': True}}",
        f"extra error: {PLACEHOLDER}",
        "weather",
    ]
    extras = bridged.sent[-1].attributes
    assert (extras["asked"], extras["place"]) == (PLACEHOLDER, PLACEHOLDER)


@pytest.mark.usefixtures("recorded")
def test_an_exception_of_a_line_is_sent_without_the_content_that_it_quotes(
    bridged: Bridged,
) -> None:
    node = start(t.NODE, {t.NODE_INPUTS: {"query": QUESTION}})
    with node.active():
        try:
            int(f"cannot parse {QUESTION}")
        except ValueError:
            log.exception("broken")
    [line] = bridged.sent
    assert line.attributes["exception.message"].endswith(f"base 10: 'cannot parse {PLACEHOLDER}'")
    assert "Smith" not in line.attributes["exception.stacktrace"]
    assert "ValueError" in line.attributes["exception.stacktrace"]


@pytest.mark.usefixtures("recorded")
def test_a_line_of_no_operation_is_sent_without_the_content_of_any_that_is_open(
    bridged: Bridged,
) -> None:
    """The engine has threads of its own, which lie in nothing."""
    run = start(t.RUN, {t.RUN_INPUTS: {"query": QUESTION}})
    log.error("Node failed: %s", QUESTION)
    run.end()
    assert bridged.bodies == [f"Node failed: {PLACEHOLDER}"]


@pytest.mark.usefixtures("recorded")
def test_a_line_is_left_as_it_is_where_it_shares_no_content(bridged: Bridged) -> None:
    node = start(t.NODE, {t.NODE_INPUTS: {"query": QUESTION}})
    with node.active():
        log.info("Retrieved %d documents for the query of 'Smith'", 3)
    assert bridged.bodies == ["Retrieved 3 documents for the query of 'Smith'"]


@pytest.mark.usefixtures("recorded")
def test_content_of_lines_is_sent_where_it_is_asked_for(bridged: Bridged) -> None:
    bridged.attach_with_content()
    task = start(t.TASK)
    task.knows(QUESTION)
    with task.active():
        log.info(RUN_INPUTS, QUESTION)
    assert bridged.bodies[-1].endswith(QUESTION)


def test_what_dify_prints_of_tools_is_no_record(
    bridged: Bridged, capsys: pytest.CaptureFixture[str]
) -> None:
    """Celery makes a record of each line that a worker prints."""

    def print_text(text: str) -> None:
        sys.stdout.write(text)
        log.warning(text)

    module = ModuleType("core.callback_handler.agent_tool_callback_handler")
    module.print_text = print_text  # type: ignore[attr-defined] # a module made here
    prints.attach(module)
    module.print_text("Outputs: secret")
    log.warning("afterwards")

    assert "secret" in capsys.readouterr().out
    assert bridged.bodies == ["afterwards"]


def test_what_a_span_says_already_is_left_out_before_anything_is_made_of_it(
    bridged: Bridged, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridged.attach_without("httpx")
    noisy = logging.getLogger("httpx")
    monkeypatch.setattr(noisy, "level", logging.INFO)
    made: list[object] = []

    def line_of(*given: object, **_: object) -> tuple[object, ...]:
        made.append(given)
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("otel_dify.sources.logging._line_of", line_of)
        noisy.info('HTTP Request: POST http://plugin_daemon:5002/x "HTTP/1.1 200 OK"')
    assert made == []
    noisy.warning("a connection broke")
    logging.getLogger("httpx.tests").error("of another logger")
    assert bridged.bodies == ["a connection broke", "of another logger"]


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({}, False),
        ({"OTEL_DIFY_HTTP_CLIENT_LOGS": "true"}, True),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "redis, httpx"}, True),
        ({"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "*"}, True),
    ],
)
def test_lines_of_httpx_are_kept_where_they_are_asked_for_or_no_span_says_the_same(
    environment: dict[str, str], *, kept: bool
) -> None:
    assert ("httpx" not in said_by_spans(Settings(environment))) is kept
