"""Gauges never hold a collection up: what is asked and does not answer has no reading."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from celery import Celery
from opentelemetry.metrics import CallbackOptions
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from otel_dify import guard
from otel_dify import table as t
from otel_dify.process import process
from otel_dify.signals import gauges
from otel_dify.sources.libraries import pools, queues
from tests.unit.children import in_child

type Read = Callable[[], Iterable[tuple[float, dict[str, str]]]]

DEADLINE = 60.0
"""Seconds after which a question that should have been given up is taken to hang."""


@pytest.fixture(autouse=True)
def nothing_provided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start with no gauges, and fail a test in which a reading counts as a failure of ours."""
    monkeypatch.setitem(process._kept, gauges.Readers, gauges.Readers())
    guard.caught().clear()
    yield
    failures = dict(guard.caught())
    guard.caught().clear()
    assert not failures


@pytest.fixture
def silent() -> Iterator[int]:
    """Listen, accept, and never answer; yield the port."""
    taken: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                taken.append(listening.accept()[0])
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
    for one in taken:
        one.close()


@pytest.fixture
def refusing() -> Iterator[int]:
    """Yield a port that nothing listens on, and that nobody else gets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def read_by_a_worker(
    monkeypatch: pytest.MonkeyPatch, folder: Path, broker: str, **options: Any
) -> list[tuple[float, dict[str, Any]]]:
    """Have the worker of a broker be ready, and its gauge be read as a collection does."""
    monkeypatch.setenv("OTEL_DIFY_STATE_PATH", str(folder))
    app = Celery("tests", broker=broker)
    app.conf.update(task_default_queue="dataset", **options)
    queues._on_ready(SimpleNamespace(app=app))
    assert t.QUEUE_SIZE.name in process.kept(gauges.Readers).known
    found = collected(t.QUEUE_SIZE.name)
    process.kept(queues._Queues).slot.close()
    return found


def collected(name: str) -> list[tuple[float, dict[str, Any]]]:
    """Read a gauge in a thread, as a collection does.

    Raises:
        AssertionError: it waits for an answer.
    """
    found: list[tuple[float, dict[str, Any]]] = []

    def collect() -> None:
        observed = gauges._callback(name)(CallbackOptions())
        found.extend((float(one.value), dict(one.attributes or {})) for one in observed)

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        # What Dify or an operator may have set for the worker itself is no good for a question.
        {"broker_transport_options": {"socket_timeout": 3600, "retry_on_timeout": True}},
        {"broker_connection_timeout": 3600},
    ],
    ids=["plain", "patient", "patient to connect"],
)
def test_a_broker_that_never_answers_has_no_queues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: int, options: dict[str, Any]
) -> None:
    broker = f"redis://127.0.0.1:{silent}/0"
    assert read_by_a_worker(monkeypatch, tmp_path, broker, **options) == []


def test_a_broker_that_is_not_there_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    refusing: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The worker itself tells of it."""
    caplog.set_level(logging.INFO)
    broker = f"redis://127.0.0.1:{refusing}/0"
    assert read_by_a_worker(monkeypatch, tmp_path, broker) == []
    assert caplog.records == []


def test_sentinels_that_never_answer_have_no_queues(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: int, refusing: int
) -> None:
    broker = f"sentinel://127.0.0.1:{silent};sentinel://127.0.0.1:{refusing}"
    options = {"broker_transport_options": {"master_name": "dify", "sentinel_kwargs": {}}}
    assert read_by_a_worker(monkeypatch, tmp_path, broker, **options) == []


@pytest.mark.parametrize("broker", ["memory://", "amqp://127.0.0.1:PORT//"])
def test_another_broker_than_redis_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: int, broker: str
) -> None:
    address = broker.replace("PORT", str(silent))
    assert read_by_a_worker(monkeypatch, tmp_path, address) == []


def test_a_forked_child_leaves_the_queues_to_its_parent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The children of a worker that are made after it was ready have its gauges."""
    monkeypatch.setenv("OTEL_DIFY_STATE_PATH", str(tmp_path))
    monkeypatch.setattr(queues, "_lengths", lambda *_: [(7, {"queue_name": "dataset"})])
    app = Celery("tests", broker="memory://")
    queues._on_ready(SimpleNamespace(app=app))

    def read() -> str:
        return str(list(process.kept(gauges.Readers).known[t.QUEUE_SIZE.name]()))

    assert in_child(read) == "[]"
    assert read() == "[(7, {'queue_name': 'dataset'})]"
    process.kept(queues._Queues).slot.close()


def test_a_pool_that_is_exhausted_tells_how_full_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody waits for a connection of it."""
    monkeypatch.setitem(process._kept, pools._Pools, pools._Pools())
    monkeypatch.setattr(sqlalchemy.pool.Pool, "connect", sqlalchemy.pool.Pool.connect)
    pools.attach(sqlalchemy.pool)
    database = sqlalchemy.create_engine(
        "sqlite:///:memory:",
        poolclass=sqlalchemy.pool.QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=1,
        connect_args={"check_same_thread": False},
    )
    waiting = threading.Event()
    failures: list[BaseException] = []

    def wait() -> None:
        waiting.set()
        try:
            database.connect()
        except PoolTimeoutError as error:
            failures.append(error)

    with database.connect():
        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        assert collected(t.CONNECTIONS_ACTIVE.name) == [(1, {})]
        assert collected(t.CONNECTIONS_MAX.name) == [(1, {})]
        thread.join()
    assert len(failures) == 1
    database.dispose()


def test_a_gauge_that_fails_is_counted_and_costs_no_other_reading() -> None:
    def fails() -> Iterable[tuple[float, dict[str, str]]]:
        raise LookupError("no")

    gauges.provide(t.WORKERS, fails)
    gauges.provide(t.QUEUE_SIZE, lambda: [(3, {"queue_name": "mail"})])
    assert collected(t.WORKERS.name) == []
    assert collected(t.QUEUE_SIZE.name) == [(3, {"queue_name": "mail"})]
    assert guard.caught() == {(f"otel_dify gauge {t.WORKERS.name}", "LookupError"): 1}
    guard.caught().clear()
