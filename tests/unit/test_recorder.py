"""What becomes of what ended: it folds or is recorded, and each writer fails by itself."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import sqlalchemy

from otel_dify import guard
from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.operations.folded import REPEATED, SHAPES
from tests.recording import Recording

type Watch = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("writer", "lost"),
    [
        ("signals.spans:SpanWriter.write", "span"),
        ("signals.points:PointWriter.write", "points"),
        ("signals.events:EventWriter.ended", "event"),
    ],
)
def test_a_writer_that_raises_costs_its_own_signal(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch, writer: str, lost: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no more")

    module, _, name = writer.partition(":")
    monkeypatch.setattr(f"otel_dify.{module}.{name}", broken)
    start(t.RUN, {t.APP_NAME: "app"}).end()
    assert guard.caught() == {(f"otel_dify.records {lost}", "RuntimeError"): 1}
    guard.caught().clear()

    there = {
        "span": bool(recorded.spans),
        "points": bool(recorded.points("dify.requests.total")),
        "event": any(record.event_name == "dify.workflow.run" for record in recorded.told),
    }
    assert there == {signal: signal != lost for signal in ("span", "points", "event")}


def test_the_same_statement_many_times_in_one_operation_is_said_once(
    watched: Watch, recorded: Recording
) -> None:
    """A loop that asks for each row; what differs is bound, or named with its values left out."""
    database: sqlalchemy.Engine = watched("sqlalchemy").create_engine("sqlite://")
    run = start(t.RUN, {t.APP_NAME: "app"})
    statement = sqlalchemy.text("SELECT :id, 'S3CRET'")
    with run.active(), database.connect() as connection:
        for number in range(REPEATED):
            connection.execute(statement, {"id": number})
        connection.execute(sqlalchemy.text("SELECT 1"))
    run.end()
    database.dispose()

    [happened] = recorded.span("invoke_workflow app").events
    known = dict(happened.attributes or {})
    assert happened.name == t.REPEATED
    assert known[t.DB_STATEMENT.key] == "SELECT ?, ?"
    assert known[t.DB_QUERIES.key] == REPEATED
    assert isinstance(known[t.DB_TIME.key], float)
    assert recorded.attributes("invoke_workflow app")[t.DB_QUERIES.key] == REPEATED + 1


def test_folded_queries_are_told_apart_by_database_and_the_slowest_is_kept(
    recorded: Recording,
) -> None:
    run = start(t.RUN, {t.APP_NAME: "app"})
    for system, elapsed_ns in (("postgresql", 10), ("redis", 30), ("postgresql", 20)):
        run.folding().add(system, elapsed_ns * 1_000_000, "")
    run.end()
    known = recorded.attributes("invoke_workflow app")
    assert known["dify.db.postgresql.query.count"] == 2
    assert known["dify.db.postgresql.query.duration"] == pytest.approx(0.03)
    assert known["dify.db.redis.query.count"] == 1
    assert known[t.DB_QUERIES.key] == 3
    assert known[t.DB_TIME.key] == pytest.approx(0.06)
    assert known[t.DB_SLOWEST.key] == pytest.approx(0.03)


def test_statements_without_number_do_not_grow_an_operation(recorded: Recording) -> None:
    """Statements with their values in them are all different."""
    run = start(t.RUN, {t.APP_NAME: "app"})
    for number in range(SHAPES * 3):
        run.folding().add("postgresql", 1, f"SELECT {number}")
    assert run.folded is not None
    assert len(run.folded._shapes) == SHAPES
    run.end()
    assert recorded.attributes("invoke_workflow app")[t.DB_QUERIES.key] == SHAPES * 3


def test_a_query_that_folds_has_its_statement_unread(
    watched: Watch, recorded: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr("otel_dify.cleaning.redaction.mask_text", read.append)
    monkeypatch.setattr("otel_dify.cleaning.text.mask_text", read.append)
    database: sqlalchemy.Engine = watched("sqlalchemy").create_engine("sqlite://")
    run = start(t.RUN)
    with run.active(), database.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 'password=S3CRET'"))
    assert read == []
    assert run.folded is not None
    assert not recorded.spans
    database.dispose()


def test_an_operation_that_ended_is_not_kept_by_its_own_context(recorded: Recording) -> None:
    """Only the garbage collector would find the two, and there are dozens of them a run."""
    del recorded
    run = start(t.RUN)
    first = run.context
    assert run.context is first
    run.end()
    assert run._context is None
    assert run.context == first or run.context.keys() == first.keys()
