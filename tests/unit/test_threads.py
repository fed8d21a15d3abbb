"""Many threads at once, and signal handlers in the middle of them: every number is exact."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from opentelemetry.trace import INVALID_SPAN_CONTEXT

import otel_dify
from benchmarks import discard
from otel_dify import guard, observe
from otel_dify import table as t
from otel_dify.operations import operation as operation_module
from otel_dify.operations.current import start, wait_until_ended
from otel_dify.operations.operation import Operation
from otel_dify.signals.cells import Cells
from otel_dify.signals.series import Counter, Exemplars, Histogram
from otel_dify.sources.logging import LogBridge, attributes_of
from tests.recording import Recording

if TYPE_CHECKING:
    from otel_dify.signals.logs import LogWriter

THREADS, ROUNDS = 8, 60
ROOT = Path(__file__).parents[2]
DEADLINE = 120.0
"""Seconds after which what should have ended is taken to hang."""


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*works: Callable[[], None]) -> None:
    """Run works at once, each in a thread; none may raise or hang."""
    failures: list[BaseException] = []
    together = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            together.wait(DEADLINE)
            work()
        except BaseException as error:  # noqa: BLE001 - told below, by the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert [thread for thread in threads if thread.is_alive()] == []
    assert failures == []


def exact(recorded: Recording, metric: str) -> int:
    """Count the measurements of a histogram, each series of which must agree with its buckets."""
    points = list(recorded._points(metric))
    assert len({tuple(sorted(point.attributes.items())) for point in points}) == len(points)
    for point in points:
        assert sum(point.bucket_counts) == point.count
    return sum(point.count for point in points)


def test_what_threads_do_below_one_request_adds_up(recorded: Recording) -> None:
    request = start(t.REQUEST)
    record = logging.makeLogRecord({"msg": "hello"})

    def work(number: int) -> Callable[[], None]:
        def run() -> None:
            for round_ in range(ROUNDS):
                run = start(
                    t.RUN,
                    {t.APP_NAME: "app", t.RUN_ID: f"{number}-{round_}"},
                    parent=request.context,
                )
                run.set(t.CONVERSATION_ID, f"conversation {number}-{round_}")
                with run.active():
                    node = start(t.NODE, {t.NODE_ID: "n", t.NODE_TYPE: f"type {round_ % 7}"})
                    node.happened("retry", {t.NODE_RETRY_INDEX: round_})
                    node.end()
                    start(t.QUERY, {t.DB_SYSTEM: "postgresql"}).end()
                run.end()
                request.add(t.NODE_COUNT, 1)
                request.folding().add("redis", 1_000, f"GET {round_ % 5}")
                request.happened("retry", {t.NODE_RETRY_INDEX: round_})
                assert attributes_of(record, request.context, content=False)

        return run

    at_once(*(work(number) for number in range(THREADS)))
    request.end()

    total = THREADS * ROUNDS
    spans = [span.name for span in recorded.spans]
    assert spans.count("invoke_workflow app") == total
    assert len(spans) == 2 * total + 1
    [above] = [span for span in recorded.spans if span.parent is None]
    known = dict(above.attributes or {})
    assert known[t.NODE_COUNT.key] == total
    assert known[t.DB_QUERIES_OF.key.replace("<system>", "redis")] == total
    assert known[t.DB_TIME_OF.key.replace("<system>", "redis")] == pytest.approx(total * 1e-6)
    # The first that was handed up, whole.
    assert str(known[t.RUN_ID.key]).endswith("-0")
    repeated = [event for event in above.events if event.name == t.REPEATED]
    assert sum(int(str((e.attributes or {})[t.DB_QUERIES.key])) for e in repeated) == total
    # The span has as many of them as the SDK lets it have.
    assert len([name for name, _, _ in request.events if name == "retry"]) == total
    assert recorded.total("dify.requests.total", type="workflow") == total
    assert exact(recorded, "dify.workflow.duration") == total
    assert exact(recorded, "dify.node.duration") == total
    assert exact(recorded, "db.client.operation.duration") == total


def test_an_operation_that_several_threads_end_is_recorded_once(recorded: Recording) -> None:
    shared = [start(t.RUN, {t.APP_NAME: "app"}) for _ in range(ROUNDS * 5)]

    def end() -> None:
        for operation in shared:
            operation.end()

    at_once(*[end] * THREADS)
    assert len(recorded.spans) == len(shared)
    assert recorded.total("dify.requests.total", type="workflow") == len(shared)
    assert exact(recorded, "dify.workflow.duration") == len(shared)


def test_series_that_threads_make_at_once_are_one(recorded: Recording) -> None:
    def work() -> None:
        for round_ in range(ROUNDS):
            with observe(f"name {round_}"):
                pass

    at_once(*[work] * THREADS)
    counts = recorded.counts("dify.custom.duration", "name")
    assert counts == {f"name {round_}": THREADS for round_ in range(ROUNDS)}
    assert exact(recorded, "dify.custom.duration") == THREADS * ROUNDS
    assert recorded.total("dify.requests.total", type="custom") == THREADS * ROUNDS


def test_what_is_read_and_waited_for_meanwhile_is_never_half_done(recorded: Recording) -> None:
    working = threading.Semaphore(0)

    def work() -> None:
        try:
            for round_ in range(ROUNDS):
                with observe(f"name {round_}"):
                    pass
        finally:
            working.release()

    def collect() -> None:
        ended = 0
        while ended < THREADS:
            ended += working.acquire(blocking=False)
            exact(recorded, "dify.custom.duration")
            wait_until_ended(0)

    at_once(*[work] * THREADS, collect)
    assert exact(recorded, "dify.custom.duration") == THREADS * ROUNDS
    assert len(recorded.spans) == THREADS * ROUNDS


def test_ids_are_handed_up_while_operations_start_below(recorded: Recording) -> None:
    """What starts takes a copy of what is inherited, in the middle of its being added to."""
    request = start(t.REQUEST)
    attributes = [t.RUN_ID, t.APP_ID, t.TENANT_ID, t.CONVERSATION_ID, t.MESSAGE_ID, t.USER_ID]
    begun: list[Operation] = []

    def hoist() -> None:
        for round_ in range(ROUNDS):
            run = start(t.RUN, parent=request.context)
            for attribute in attributes:
                run.set(attribute, str(round_))
            run.end()

    def begin() -> None:
        for _ in range(ROUNDS):
            node = start(t.NODE, parent=request.context)
            assert set(node.inherited) <= {attribute.key for attribute in attributes}
            begun.append(node)

    at_once(*[hoist, begin] * (THREADS // 2))
    for node in begun:
        node.end()
    request.end()
    assert len(recorded.spans) == 2 * ROUNDS * THREADS // 2 + 1
    assert not guard.caught()


OURS = str(Path(otel_dify.__file__).parent)


@pytest.fixture
def yielding() -> Iterator[None]:
    """Let other threads take their turn before every instruction of ours, not only where Python may.

    It is a coarse net: whatever is only by accident one step of today's Python is told as well.
    """

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if event == "call" and not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes = True
        # It gives the interpreter lock away, and waits for nothing.
        time.sleep(0)
        return trace

    threading.settrace(trace)
    yield
    threading.settrace(cast("Any", None))


@pytest.mark.usefixtures("yielding")
def test_nothing_is_lost_between_any_two_steps(recorded: Recording) -> None:
    rounds = 6
    request = start(t.REQUEST)
    shared = [start(t.RUN, {t.APP_NAME: "app"}) for _ in range(rounds)]
    together = [threading.Barrier(THREADS) for _ in range(rounds)]

    def work() -> None:
        for round_ in range(rounds):
            together[round_].wait(DEADLINE)
            request.add(t.NODE_COUNT, 1)
            request.folding().add("redis", 1_000, "GET")
            shared[round_].end()
            start(t.CUSTOM, {t.CUSTOM_NAME: f"name {round_}"}).end()

    at_once(*[work] * THREADS)
    request.end()

    total = THREADS * rounds
    assert request.get(t.NODE_COUNT) == total
    assert request.folding().systems == {"redis": [total, total * 1_000]}
    assert list(request.folding().repeated()) == [("GET", total, total * 1_000)]
    assert recorded.total("dify.requests.total", type="workflow") == rounds
    assert exact(recorded, "dify.workflow.duration") == rounds
    assert recorded.counts("dify.custom.duration", "name") == {
        f"name {round_}": THREADS for round_ in range(rounds)
    }
    assert exact(recorded, "dify.custom.duration") == total
    assert recorded.total("dify.requests.total", type="custom") == total
    assert len(recorded.spans) == rounds + total + 1


@pytest.mark.usefixtures("yielding")
def test_no_point_of_a_series_is_lost_between_any_two_steps() -> None:
    rounds = 10
    exemplars = Exemplars()
    counts, bounds = Cells().allocate(b"", Counter.INITIAL), (1.0, 2.0)
    counter = Counter({}, 0, exemplars, counts, fractional=False)
    cells = Cells().allocate(b"", Histogram.initial(bounds))
    histogram = Histogram({}, 0, exemplars, cells, bounds)
    together = [threading.Barrier(THREADS) for _ in range(2 * rounds)]

    def work() -> None:
        for round_ in range(rounds):
            together[2 * round_].wait(DEADLINE)
            counter.record(2, INVALID_SPAN_CONTEXT, 0)
            together[2 * round_ + 1].wait(DEADLINE)
            histogram.record(1.5, INVALID_SPAN_CONTEXT, 0)

    at_once(*[work] * THREADS)
    assert counter.point(0).value == 2 * THREADS * rounds
    point = histogram.point(0)
    assert (point.count, point.sum) == (THREADS * rounds, 1.5 * THREADS * rounds)
    assert list(point.bucket_counts) == [0, THREADS * rounds, 0]


def test_an_operation_that_is_ended_in_the_middle_of_its_end_ends_once(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = start(t.RUN, {t.APP_NAME: "app"})
    asked: list[int] = []

    def clock() -> int:
        """Tell the time, but not before another thread has ended the same operation."""
        asked.append(1)
        if len(asked) == 1:
            at_once(operation.end)
        return 2**60

    monkeypatch.setattr(operation_module, "time", SimpleNamespace(time_ns=clock))
    operation.end()
    assert len(asked) == 1
    assert len(recorded.spans) == 1
    assert exact(recorded, "dify.workflow.duration") == 1


# The handler is armed again at its end, so that it never interrupts itself. The first records are
# made before: what they need is made once, and not in the middle of itself.
INTERRUPTED = """
import json, logging, signal, sys
from collections import Counter
from benchmarks import discard
from opentelemetry.sdk.metrics.export import MetricExportResult
import otel_dify
from otel_dify import guard, observe
from otel_dify import table as t
from otel_dify.export.delivery import lost
from otel_dify.operations.current import start
from otel_dify.process import process

bodies, collected = Counter(), []
def take_logs(self, batch, export=discard.Logs.export):
    bodies.update(item.log_record.body for item in batch)
    return export(self, batch)
def take_metrics(self, data, timeout_millis=0, **_):
    collected.append(data)
    return MetricExportResult.SUCCESS
discard.Logs.export, discard.Metrics.export = take_logs, take_metrics
otel_dify.configure()
log = logging.getLogger("interrupted")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = False
done = Counter()

def work(name):
    with observe(name) as operation:
        log.info(name)
        above.folding().add("redis", 1, "GET")
    # A series of its own for every one.
    with observe(f"{name} {done[name]}"):
        pass
    done[name] += 1

def handle(*_):
    work("handler")
    # All series together are fewer than one metric may have.
    if done["handler"] < 900:
        signal.setitimer(signal.ITIMER_REAL, 0.0002)

signal.signal(signal.SIGALRM, handle)
above = start(t.REQUEST)
work("main")
work("handler")
with process.counting:
    signal.raise_signal(signal.SIGALRM)
signal.setitimer(signal.ITIMER_REAL, 0.0002)
while done["main"] < 900:
    work("main")
signal.signal(signal.SIGALRM, signal.SIG_IGN)
folds = above.folding().systems["redis"][0]
above.end()
otel_dify.shutdown()

points = {
    dict(point.attributes).get("name"): point.value
    for of in collected[-1].resource_metrics for scope in of.scope_metrics
    for metric in scope.metrics if metric.name == "dify.requests.total"
    for point in metric.data.data_points
}
print(json.dumps({
    "done": done, "points": points, "folds": folds, "spans": discard.exported["spans"], "logs": bodies,
    "lost": lost(), "caught": [str(place) for place in guard.caught()],
}))
"""


def test_a_signal_handler_finds_no_lock_held_by_its_own_thread(tmp_path: Path) -> None:
    """It logs and starts and ends operations, in the middle of the same."""
    discard.install(tmp_path)
    env = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "OTEL_TRACES_EXPORTER": "discard",
        "OTEL_METRICS_EXPORTER": "discard",
        "OTEL_LOGS_EXPORTER": "discard",
        "OTEL_DIFY_STATE_PATH": str(tmp_path / "state"),
        "OTEL_BSP_MAX_QUEUE_SIZE": "1000000",
        "OTEL_BLRP_MAX_QUEUE_SIZE": "1000000",
        "OTEL_BSP_SCHEDULE_DELAY": "1",
        "OTEL_BLRP_SCHEDULE_DELAY": "1",
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
    }
    told = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    found: dict[str, Any] = json.loads(told.stdout)
    done = found["done"]
    assert done["main"] == 900
    assert done["handler"] > 1
    own = {f"{name} {number}": 1 for name in done for number in range(done[name])}
    assert found["points"] == own | done
    assert found["folds"] == sum(done.values())
    assert found["spans"] == 2 * sum(done.values()) + 1
    assert found["logs"]["main"] == done["main"]
    assert (found["lost"], found["caught"]) == ({}, [])


def test_what_a_signal_handler_logs_in_the_middle_of_a_line_is_sent() -> None:
    """Those of gunicorn do (``WORKER TIMEOUT``), whatever their thread is at."""
    sent: list[str] = []
    log = logging.getLogger("test_threads.handler")

    class Writer:
        def write(self, *line: Any) -> None:
            """Be interrupted in the middle of the first line."""
            sent.append(line[4])
            if line[4] == "main":
                signal.raise_signal(signal.SIGALRM)

    bridge = LogBridge(logging.INFO, lambda: cast("LogWriter", Writer()))
    before = signal.signal(
        signal.SIGALRM,
        lambda *_: bridge._on_record(log.makeRecord("handler", 20, "", 0, "handler", (), None)),
    )
    try:
        bridge._on_record(log.makeRecord("main", 20, "", 0, "main", (), None))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sent == ["main", "handler"]
