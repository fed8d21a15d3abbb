"""Backfill: rows of Dify's history as operations, and how it goes through them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from opentelemetry.sdk.resources import Resource

from otel_dify import table as t
from otel_dify.backfilling import Backfill, Rate, State, StuckError
from otel_dify.cli import accounting
from otel_dify.cli.live import Nothing, live_ids
from otel_dify.cli.records import Process, Span
from otel_dify.cli.verify import gauges, lines
from otel_dify.export.sdk_outlets import SdkLogs, SdkSpans
from otel_dify.recording import SCOPE, Signals
from otel_dify.settings import Settings
from otel_dify.signals.cells import Cells
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Exemplars
from otel_dify.sources.history.ids import DerivedIds
from otel_dify.sources.history.rows import Run, of_message, span_of
from otel_dify.sources.history.telling import Teller

T0 = datetime(2026, 11, 20, 8)  # noqa: DTZ001 - as Dify's columns have it
RUN_ID = "8d2c3f6e-0000-4000-8000-00000000000a"
APP_ID = "8d2c3f6e-0000-4000-8000-0000000000aa"
WROTE = "the patient's name is Otto Wagenknecht"


class _Apps:
    def of(self, identity: str) -> dict[str, Any]:
        return {"id": identity, "name": "desk", "mode": "advanced-chat", "tenant_id": APP_ID}


def tell(act: Callable[[Teller], None], content: str = "no_content") -> list[Any]:
    """Tell something to the recorders of the product; returns its spans."""
    spans: list[Any] = []
    ids, resource = DerivedIds(), Resource({})
    variable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    signals = Signals(
        resource,
        Settings({variable: content}),
        OwnStore(Exemplars(), Cells()),
        SdkSpans(spans.append, resource, SCOPE),
        lambda scope: SdkLogs(lambda _: None, resource, scope),
        ids=ids,
    )
    act(Teller(signals.recorder, ids, _Apps()))  # type: ignore[arg-type] # names of apps alone
    return spans


def row(number: int, node_id: str, kind: str, start_s: float, took_s: float, **more: Any) -> Any:
    created = T0 + timedelta(seconds=start_s)
    return {
        "id": f"8d2c3f6e-0000-4000-8000-{number:012x}",
        "app_id": APP_ID,
        "workflow_id": APP_ID,
        "workflow_run_id": RUN_ID,
        "node_id": node_id,
        "node_type": kind,
        "title": node_id,
        "status": "succeeded",
        "error": None,
        "created_at": created,
        "finished_at": created + timedelta(seconds=took_s),
        **more,
    }


def run_of(*nodes: Any, **more: Any) -> Run:
    known = {
        "id": RUN_ID,
        "app_id": APP_ID,
        "workflow_id": APP_ID,
        "status": "succeeded",
        "created_at": T0,
        "finished_at": T0 + timedelta(seconds=9),
        "total_tokens": 33,
        "inputs": f'{{"query": "{WROTE}"}}',
    }
    return Run(known | more, list(nodes))


def a_run() -> Run:
    usage = '{"prompt_tokens": 21, "completion_tokens": 12, "total_price": "0.5", "latency": 0.5}'
    return run_of(
        row(1, "start", "start", 0, 0.1),
        row(2, "each", "iteration", 1, 4),
        row(
            *(3, "ask", "llm", 2, 1),
            execution_metadata='{"iteration_id": "each", "iteration_index": 0, "total_tokens": 33}',
            process_data=f'{{"usage": {usage}, "model_name": "m", "model_provider": "a/b/openai"}}',
        ),
        # What has failed in an item has no index in Dify's rows.
        row(
            *(4, "ask", "llm", 3, 1),
            status="failed",
            error=f"InvokeRateLimitError: no answer to {WROTE}",
            execution_metadata='{"iteration_id": "each"}',
        ),
        status="failed",
        error="InvokeRateLimitError: no answer",
    )


def tree(spans: list[Any]) -> dict[str, str]:
    names = {span.context.span_id: span.name for span in spans}
    return {
        span.name: names[span.parent.span_id] if span.parent else ""
        for span in spans
        if not span.attributes.get(t.ERROR_TYPE.key)
    }


def test_a_run_is_nested_as_it_ran_with_its_true_times() -> None:
    spans = tell(lambda teller: teller.run(a_run()))
    assert tree(spans) == {
        "start start": "invoke_workflow desk",
        "iteration each": "invoke_workflow desk",
        "iteration item": "iteration each",
        "llm ask": "iteration item",
        "chat m": "llm ask",
    }
    [run] = [span for span in spans if span.parent is None]
    assert (run.end_time - run.start_time) == 9 * 10**9
    assert run.attributes["dify.workflow.status"] == "failed"
    assert run.attributes["error.type"] == "InvokeRateLimitError"
    assert run.attributes["dify.error.category"] == "rate_limit"
    assert run.attributes["dify.usage.total_tokens"] == 33
    [call] = [span for span in spans if span.name == "chat m"]
    assert call.end_time - call.start_time == 5 * 10**8
    assert call.attributes["gen_ai.usage.output_tokens"] == 12
    assert all(span.attributes["dify.backfilled"] for span in spans)


def test_ids_are_those_of_the_rows_and_the_same_each_time() -> None:
    first = tell(lambda teller: teller.run(a_run()))
    again = tell(lambda teller: teller.run(a_run()))
    ids = [(span.context.trace_id, span.context.span_id) for span in first]
    assert ids == [(span.context.trace_id, span.context.span_id) for span in again]
    assert [span.to_json() for span in first] == [span.to_json() for span in again]
    assert len(set(ids)) == len(ids)
    assert {trace for trace, _ in ids} == {UUID(RUN_ID).int}
    by_name = {span.name: span.context.span_id for span in first}
    assert by_name["start start"] == 0x8000_000000000001


def test_content_is_left_out_of_errors_too_unless_it_is_asked_for() -> None:
    without = "".join(span.to_json() for span in tell(lambda teller: teller.run(a_run())))
    assert "Wagenknecht" not in without
    assert "[content]" in without
    asked = tell(lambda teller: teller.run(a_run()), "span_and_event")
    assert "Wagenknecht" in "".join(span.to_json() for span in asked)


def test_a_recovered_node_is_no_failure_and_recovered_when_it_ended() -> None:
    node = row(1, "code", "code", 0, 2, status="exception", error="ValueError: x")
    spans = tell(lambda teller: teller.run(run_of(node)))
    [told] = [span for span in spans if span.name == "code code"]
    [event] = told.events
    assert event.timestamp == told.end_time
    assert told.status.status_code.name == "UNSET"


def test_what_never_ended_is_told_as_terminated() -> None:
    node = row(1, "code", "code", 0, 0, status="running") | {"finished_at": None}
    run = run_of(node, status="running", finished_at=None)
    spans = tell(lambda teller: teller.run(run))
    assert {span.attributes["error.type"] for span in spans} == {"process_terminated"}


def message_row() -> Any:
    return {
        "id": RUN_ID,
        "app_id": APP_ID,
        "conversation_id": APP_ID,
        "model_provider": "openai",
        "model_id": "m",
        "inputs": "{}",
        "query": WROTE,
        "message_tokens": 5,
        "answer_tokens": 7,
        "provider_response_latency": 0.5,
        "status": "normal",
        "agent_based": True,
        "thoughts": [{"id": APP_ID, "created_at": T0}],
        "created_at": T0,
        "updated_at": T0 + timedelta(seconds=0.2),
    }


def test_a_message_of_an_agent_has_its_rounds_and_its_tokens() -> None:
    spans = tell(lambda teller: teller.message(message_row()))
    assert tree(spans) == {
        "message advanced-chat": "",
        "invoke_agent m": "message advanced-chat",
        "chat m": "invoke_agent m",
    }
    [agent] = [span for span in spans if span.name == "invoke_agent m"]
    assert [event.name for event in agent.events] == ["agent.thought"]


def test_a_message_begins_when_its_answer_was_there_less_what_it_took() -> None:
    start, end = of_message(message_row())
    assert end - start == 5 * 10**8
    # A rating of a week later is no answer.
    rated = message_row() | {"updated_at": T0 + timedelta(days=7)}
    assert of_message(rated)[0] == span_of(rated | {"status": "x"})[0]


class _Database:
    """Rows of runs in the order of their creation, as the database gives them."""

    def __init__(self, runs: list[Run]) -> None:
        self.runs = runs
        self.has = lambda *_: False

    def page(self, table: str, _wanted: Any, only: str, page: Any) -> list[Any]:
        if table != "workflow_runs":
            del only
            return []
        rows = [run.row for run in self.runs]
        if page.after is not None:
            rows = [row for row in rows if (row["created_at"], row["id"]) > page.after]
        return rows[: page.limit]

    def of(self, *_: Any) -> list[Any]:
        return []


def many_runs() -> list[Run]:
    """Make ten runs, two of each moment."""
    return [
        Run(
            run_of().row
            | {
                "id": f"8d2c3f6e-0000-4000-8000-{number:012x}",
                "created_at": T0 + timedelta(seconds=number // 2),
            }
        )
        for number in range(10)
    ]


class _Told:
    """Takes runs, and fails at its flush once it has so many."""

    def __init__(self, fails_from: int) -> None:
        self.ids: list[str] = []
        self._fails_from = fails_from

    def run(self, run: Run) -> None:
        self.ids.append(run.row["id"])

    def flush(self) -> None:
        if len(self.ids) >= self._fails_from:
            raise StuckError("away")


def through(told: _Told, state: State) -> None:
    going = Backfill(
        _Database(many_runs()),  # type: ignore[arg-type] # pages of runs alone
        teller=told,  # type: ignore[arg-type] # runs alone
        live=Nothing(),
        rate=Rate(1e9, lambda: 0.0, lambda _: None),
        flush=told.flush,
        now_ns=10**18 * 2,
    )
    list(going.window(0, 10**18 * 2, None, state, size=3))


def test_it_goes_on_where_the_last_page_has_arrived(tmp_path: Path) -> None:
    window = {"since": "7d"}
    first, second = _Told(fails_from=6), _Told(fails_from=99)
    with pytest.raises(StuckError):
        through(first, State(tmp_path / "state", window))
    through(second, State(tmp_path / "state", window))
    ids = [run.row["id"] for run in many_runs()]
    assert first.ids == ids[:6]
    assert second.ids == ids[3:]
    # Another window begins anew.
    assert State(tmp_path / "state", {"since": "1d"}).after("runs") is None


def test_no_more_than_the_rate_pass_and_idle_time_is_not_saved_up() -> None:
    now, waits = [0.0], []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    rate = Rate(4, lambda: now[0], sleep)
    for _ in range(5):
        rate.wait()
    assert now[0] == 1.0
    now[0] = 100.0
    rate.wait()
    rate.wait()
    assert waits[4:] == [0.25]


def span(kind: str, **attributes: Any) -> Span:
    known = {key.replace("__", "."): value for key, value in attributes.items()}
    at = 10**10
    return Span("a", "b", "", kind, at, at + 1, known, False, "", Process("dify-api"), kind=1)


def test_rows_and_spans_are_compared_by_id_and_what_is_told_twice_is_unequal() -> None:
    rows = {
        "runs": [{"id": "r", "owner": "a", "outcome": "succeeded", "open": False, "tokens": 3}],
        "nodes": [],
        "messages": [],
    }
    run = span(
        "invoke_workflow",
        dify__app_id="a",
        dify__workflow__run_id="r",
        dify__workflow__status="succeeded",
        dify__usage__total_tokens=3,
    )
    window = (0, 10**11)
    equal = accounting.table(rows, [run], window)
    assert [(row.truth, row.counted) for row in equal] == [(1, 1), (3, 3)]
    twice = accounting.table(rows, [run, run], window)
    assert [(row.truth, row.counted) for row in twice] == [(1, 2), (3, 6)]
    missing = accounting.table(rows, [], window)
    assert "UNEQUAL" in lines(missing, 2)[1]
    assert 'of="a succeeded",source="telemetry"} 0' in gauges(missing)
    unknown = accounting.table(rows | {"runs": []}, [run], window)
    assert [(row.truth, row.counted) for row in unknown] == [(0, 1), (0, 3)]
    open_one = {"runs": [rows["runs"][0] | {"open": True}]}
    assert not any(row.counted for row in accounting.table(rows | open_one, [run], window))


def test_what_was_backfilled_is_no_live_telemetry() -> None:
    live = span("x", dify__workflow__run_id="r")
    past = span("x", dify__workflow__run_id="s", dify__backfilled=True)
    assert live_ids([live, past]) == {"r"}
