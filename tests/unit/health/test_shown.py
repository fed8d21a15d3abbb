"""What a process shows beside its metrics: bounded, clean, and its own."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from opentelemetry.metrics import CallbackOptions

from otel_dify import table as t
from otel_dify.cli.health.counted import Query, counted_in
from otel_dify.cli.health.queries import slow_queries
from otel_dify.locks import lock
from otel_dify.operations.current import start
from otel_dify.process import process
from otel_dify.resource import SHOWN
from otel_dify.signals import gauges
from otel_dify.signals.cells import FORGET_S, MappedCells
from otel_dify.signals.shown import GAUGES, QUERIES, Shown
from tests.recording import recording
from tests.unit.children import in_child

NAME = "dify-0"
SLOW_MS = 100


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """Have this process show things in a file of a slot that it holds."""
    held = lock(tmp_path / f"{NAME}.slot", create=True)
    assert held is not None
    made = Shown()
    monkeypatch.setitem(process._kept, Shown, made)
    cells = MappedCells(tmp_path / f"{NAME}{SHOWN}", b"")
    made.begin(cells)
    yield made
    cells.close()
    held.release()


def query(text: str, system: str = "postgresql") -> dict[str, str]:
    return {
        t.DB_SYSTEM.key: system,
        t.DB_NAMESPACE.key: "dify",
        t.DB_OPERATION.key: text.partition(" ")[0],
        t.DB_STATEMENT.key: text,
    }


def listed(folder: Path) -> list[Query]:
    return [one for counted in counted_in(folder) for one in counted.queries()]


def test_a_query_is_counted_by_its_text(shown: Shown, tmp_path: Path) -> None:
    shown.query(query("SELECT a"), 0.5, 100.0, failed=False)
    shown.query(query("SELECT a"), 1.5, 200.0, failed=True)
    shown.query(query("SELECT b"), 0.25, 150.0, failed=False)
    first, second = slow_queries(counted_in(tmp_path))
    assert (first.text, first.number, first.failed, first.seconds) == ("SELECT a", 2, 1, 2.0)
    assert (first.slowest, first.last_s) == (1.5, 200.0)
    assert (first.system, first.namespace, first.operation) == ("postgresql", "dify", "SELECT")
    assert second.text == "SELECT b"
    assert first.fingerprint != second.fingerprint


def test_processes_are_added_up_by_fingerprint(shown: Shown, tmp_path: Path) -> None:
    shown.query(query("SELECT a"), 0.5, 100.0, failed=False)
    other = Shown()
    cells = MappedCells(tmp_path / f"other-0{SHOWN}", b"")
    other.begin(cells)
    other.query(query("SELECT a"), 2.0, time.time(), failed=False)
    other.query(query("SELECT a", "mysql"), 0.1, time.time(), failed=False)
    cells.close()
    both, mysql = slow_queries(counted_in(tmp_path))
    assert (both.number, both.seconds, both.slowest) == (2, 2.5, 2.0)
    assert (mysql.system, mysql.number) == ("mysql", 1)


def test_what_there_is_no_room_for_is_counted_together(shown: Shown, tmp_path: Path) -> None:
    for number in range(QUERIES + 50):
        shown.query(query(f"SELECT {chr(97 + number % 26)}{number}"), 0.5, 100.0, failed=False)
    found = listed(tmp_path)
    assert len(found) == QUERIES + 1
    assert [one.number for one in found if not one.text] == [50]
    assert sum(one.number for one in found) == QUERIES + 50
    for number in range(GAUGES + 50):
        shown.gauge("dify.workers", {"n": str(number)}, 1, time.time())
    [counted] = counted_in(tmp_path)
    assert len(counted.readings()) == GAUGES


def test_who_takes_the_slot_goes_on_with_queries_and_not_with_gauges(
    shown: Shown, tmp_path: Path
) -> None:
    shown.query(query("SELECT a"), 0.5, time.time(), failed=False)
    shown.gauge("dify.workers", {}, 1, time.time())
    for _ in range(3):
        following = Shown()
        cells = MappedCells(tmp_path / f"{NAME}{SHOWN}", b"")
        following.begin(cells)
        [counted] = counted_in(tmp_path)
        assert counted.readings() == []
        following.query(query("SELECT a"), 0.5, time.time(), failed=False)
        following.gauge("dify.workers", {}, 7, time.time())
        cells.close()
    [counted] = counted_in(tmp_path)
    assert [(one.name, one.value) for one in counted.readings()] == [("dify.workers", 7)]
    assert [one.number for one in listed(tmp_path)] == [4]
    # Nothing is there twice.
    assert len(counted._shown) == 2


def test_a_dead_process_has_no_gauges_and_its_queries_for_a_day(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.slot").touch()
    cells, made = MappedCells(tmp_path / f"{NAME}{SHOWN}", b""), Shown()
    made.begin(cells)
    made.gauge("dify.workers", {}, 1, time.time())
    made.query(query("SELECT a"), 0.5, time.time(), failed=False)
    cells.close()
    [counted] = counted_in(tmp_path)
    assert not counted.lives
    assert counted.readings() == []
    assert len(counted.queries()) == 1
    [later] = counted_in(tmp_path, time.time() + FORGET_S + 60)
    assert later.queries() == []


def test_looking_leaves_the_slot_free(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.slot").touch()
    MappedCells(tmp_path / f"{NAME}{SHOWN}", b"").close()
    counted_in(tmp_path)
    held = lock(tmp_path / f"{NAME}.slot")
    assert held is not None
    held.release()


def test_a_forked_child_writes_nothing_to_its_parents_file(shown: Shown, tmp_path: Path) -> None:
    shown.query(query("SELECT a"), 0.5, 100.0, failed=False)

    def work() -> str:
        process.forked()
        process.kept(Shown).query(query("SELECT a"), 0.5, 100.0, failed=False)
        process.kept(Shown).gauge("dify.workers", {}, 1, 100.0)
        return "done"

    assert in_child(work) == "done"
    assert [one.number for one in listed(tmp_path)] == [1]
    [counted] = counted_in(tmp_path)
    assert counted.readings() == []


def test_a_gauge_that_is_read_is_shown(shown: Shown, tmp_path: Path) -> None:
    del shown
    gauges.provide(t.CONNECTIONS_ACTIVE, lambda: [(3, {"pool": "main"})])
    try:
        observations = list(gauges._callback(t.CONNECTIONS_ACTIVE.name)(CallbackOptions()))
    finally:
        process.kept(gauges.Readers).known.pop(t.CONNECTIONS_ACTIVE.name)
    assert [one.value for one in observations] == [3]
    [counted] = counted_in(tmp_path)
    [reading] = counted.readings()
    assert (reading.name, dict(reading.labels), reading.value) == (
        t.CONNECTIONS_ACTIVE.name,
        {"pool": "main"},
        3,
    )


@pytest.mark.parametrize("has_span", [True, False])
def test_a_slow_query_is_listed_with_the_text_that_its_span_has(
    shown: Shown,
    tmp_path: Path,
    watched: Callable[[str], Any],
    *,
    has_span: bool,
) -> None:
    del shown
    engine = watched("sqlalchemy").create_engine("sqlite://")

    @sqlalchemy.event.listens_for(engine, "connect")
    def add(connection: sqlite3.Connection, _: object) -> None:
        connection.create_function("wait", 1, lambda ms: time.sleep(ms / 1000))

    def ask(milliseconds: int) -> None:
        statement = sqlalchemy.text("SELECT wait(:ms), 'ada@example.com', 4711")
        with engine.connect() as connection:
            connection.execute(statement, {"ms": milliseconds})

    with recording() as recorded:
        request = start(t.REQUEST, {t.HTTP_METHOD: "GET", t.HTTP_ROUTE: "/"}) if has_span else None
        with request.active() if request is not None else nullcontext():
            ask(SLOW_MS)
            ask(0)
        if request is not None:
            request.end()
        spans = [span for span in recorded.spans if span.name.startswith("SELECT")]
    engine.dispose()
    [one] = listed(tmp_path)
    assert one.number == 1
    assert one.slowest >= SLOW_MS / 1000
    assert one.text == "SELECT wait(?), ?, ?"
    assert (one.system, one.operation) == ("sqlite", "SELECT")
    if has_span:
        assert one.text in {(span.attributes or {})[t.DB_STATEMENT.key] for span in spans}


def test_where_every_query_has_a_span_the_slow_ones_are_listed(
    shown: Shown, tmp_path: Path
) -> None:
    del shown
    with recording(OTEL_DIFY_QUERY_SPAN_MS="0"):
        for elapsed_ms in (SLOW_MS - 1, SLOW_MS, 2 * SLOW_MS):
            operation = start(t.QUERY, {t.DB_SYSTEM: "redis", t.DB_STATEMENT: "BRPOP ? ?"})
            operation.end(operation.start_ns + elapsed_ms * 1_000_000)
    [one] = listed(tmp_path)
    assert (one.text, one.number, one.slowest) == ("BRPOP ? ?", 2, 0.2)
