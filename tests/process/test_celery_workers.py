"""Celery workers of every pool: each task once, under the process that ran it, to the last."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator

import pytest
from celery import Celery
from redis import Redis

from tests.process.conftest import DEADLINE, Programs, eventually

WRONG = (
    "Traceback",
    "Failed to detach",
    "otel_dify",
    "WARNING:opentelemetry",
    "MonkeyPatchWarning",
)


class Tasks:
    """Sends tasks to the worker and takes their answers; it is not watched.

    Args:
        broker: address of the Redis server.
    """

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._app = Celery("client", broker=broker)
        self._app.conf.task_ignore_result = True
        self._redis = Redis.from_url(broker, decode_responses=True, socket_timeout=DEADLINE)

    def run(self, name: str, *args: object) -> str:
        """Have the worker run a task; return its answer."""
        self._app.send_task(name, args)
        answer = self._redis.blpop(["answers"], timeout=DEADLINE)
        assert isinstance(answer, list | tuple), f"{name} has not been run"
        return str(answer[1])

    def close(self) -> None:
        """Close the connections."""
        self._app.close()
        self._redis.close()


@pytest.fixture
def tasks(fresh_broker: str) -> Iterator[Tasks]:
    """Yield what sends tasks."""
    made = Tasks(fresh_broker)
    yield made
    made.close()


def work(
    programs: Programs, tasks: Tasks, *options: str, stop: signal.Signals = signal.SIGTERM
) -> list[str]:
    """Start a worker, have it run tasks, stop it; return who ran them."""
    programs.start(
        "worker",
        *("celery", "-A", "jobs", "worker", "-l", "INFO", *options),
        ready=lambda: " ready." in programs.log("worker"),
        env={"BROKER": tasks.broker},
        stop=stop,
    )
    pids = [tasks.run("jobs.work", number) for number in range(8)]
    assert tasks.run("jobs.nested") == "56"
    programs.stop()
    return pids


def check(programs: Programs, pids: list[str]) -> None:
    """Check that each task was told once, by the process that ran it."""
    spans = programs.spans("process jobs.work")
    assert Counter(span.process.pid for span in spans) == Counter(pids)
    assert len(programs.spans("process jobs.nested")) == 1
    assert programs.counted("messaging.process.duration", **{"celery.task_name": "jobs.work"}) == (
        len(pids)
    )
    ids = {(span.trace_id, span.span_id) for span in spans}
    logs = [log for log in programs.logs("jobs") if str(log.body).startswith("working on")]
    assert {(log.trace_id, log.span_id) for log in logs} == ids
    assert {span.process.service for span in spans} == {"dify-worker"}
    log = programs.log("worker")
    assert not [line for line in log.splitlines() if any(wrong in line for wrong in WRONG)], log


@pytest.mark.parametrize("pool", ["gevent", "threads", "solo"])
def test_a_pool_within_one_process(programs: Programs, tasks: Tasks, pool: str) -> None:
    pids = work(programs, tasks, "-P", pool, "-c", "2")
    assert len(set(pids)) == 1
    check(programs, pids)


def test_prefork(programs: Programs, tasks: Tasks) -> None:
    """Each child is an instance of its own, and its successor continues its series."""
    pids = work(programs, tasks, "-P", "prefork", "-c", "2", "--max-tasks-per-child", "2")
    assert len(set(pids)) >= 4
    check(programs, pids)
    spans = programs.spans("process jobs.work")
    of_instance = {(span.process.instance, span.process.pid) for span in spans}
    assert len(of_instance) == len(set(pids))
    # The parent and two children at a time; one more while a successor meets its predecessor.
    assert len({instance for instance, _ in of_instance}) <= 4


def test_a_worker_that_is_interrupted_tells_its_last(programs: Programs, tasks: Tasks) -> None:
    """As by Ctrl-C, or by an init that sends an interrupt."""
    check(programs, work(programs, tasks, "-P", "prefork", "-c", "1", stop=signal.SIGINT))


def test_what_ends_after_its_task_is_told_by_a_process_that_ends_with_it(
    programs: Programs, fresh_broker: str
) -> None:
    """A run of Dify has a thread of its own; the pool process ends after its last task."""
    programs.start(
        "worker",
        *("celery", "-A", "trailing", "worker", "-l", "INFO", "-P", "prefork"),
        *("-c", "1", "--max-tasks-per-child", "1"),
        ready=lambda: " ready." in programs.log("worker"),
        env={"BROKER": fresh_broker},
    )
    with Celery("client", broker=fresh_broker) as client:
        for _ in range(3):
            client.send_task("trailing.work", ignore_result=True)
        assert eventually(lambda: programs.log("worker").count(" succeeded in ") == 3)
    programs.stop()

    tasks = programs.spans("process trailing.work")
    runs = programs.spans("run")
    assert [span.parent_id for span in runs] == [span.span_id for span in tasks]
    assert len(runs) == 3
    assert programs.counted("dify.custom.duration") == 3
