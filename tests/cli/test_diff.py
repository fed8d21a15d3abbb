"""Two runs, or two windows of an app, beside each other."""

from __future__ import annotations

import json
import statistics
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import wcswidth

from otel_dify import table as t
from otel_dify.cli import comparison
from otel_dify.cli.changes import both, change
from otel_dify.cli.moments import length_ns, moment_ns
from otel_dify.cli.steps import Step, matched, steps_of
from otel_dify.cli.traces import Trace
from otel_dify.cli.windows import quantile
from otel_dify.operations.current import start
from tests.cli.conftest import Ran
from tests.cli.reading import traces_in
from tests.cli.recorded import traces_of
from tests.cli.viewing import Shown, run
from tests.recording import Recording


def diff(*arguments: object, width: int = 120) -> Shown:
    """Run `otel-dify diff`."""
    return run("diff", *arguments, width=width)


def document(*arguments: object) -> dict[str, Any]:
    """Run it for JSON."""
    found: dict[str, Any] = json.loads(diff(*arguments, "--json").stdout)
    return found


def test_a_runs_steps_are_its_nodes_and_items_and_passes_are_folded(ran: Ran) -> None:
    [trace, _] = traces_in(ran.files, "research_batch")
    steps = {step.name: step for step in steps_of([trace])}
    assert {name: len(step.durations_ns) for name, step in steps.items()} == {
        "start Start": 1,
        "tool Search the knowledge base": 1,
        "iteration For each source": 1,
        "template-transform Write the brief": 3,
        "llm Summarise the source": 3,
        "template-transform Collect the notes": 1,
        "loop Refine the report": 1,
        "llm Write the next version": 2,
        "assigner Keep it": 2,
        "end End": 1,
    }
    inside = {name for name, step in steps.items() if step.inside}
    assert inside == {
        "template-transform Write the brief",
        "llm Summarise the source",
        "llm Write the next version",
        "assigner Keep it",
    }


@pytest.mark.parametrize("app", ["support_triage", "research_batch", "flaky_enrichment"])
def test_tokens_and_cost_of_the_steps_come_to_those_of_the_run(ran: Ran, app: str) -> None:
    for trace in traces_in(ran.files, app):
        steps = steps_of([trace])
        assert sum(one.input_tokens for one in steps) == trace.tokens()[0] > 0
        assert sum(one.output_tokens for one in steps) == trace.tokens()[1] > 0
        cost = sum(one.cost.get("USD", 0.0) for one in steps)
        assert cost == pytest.approx(trace.cost()["USD"])


def test_two_runs_of_an_app_are_matched_node_by_node(ran: Ran) -> None:
    first, second = ran.runs["support_triage"]
    found = document(first, second, ran.files)
    assert (found["a"]["id"], found["b"]["id"]) == (first, second)
    assert all(step["a"] and step["b"] for step in found["steps"])
    assert {step["node_id"] for step in found["steps"]} >= {"start", "end"}


def test_the_path_taken_and_the_error_are_told(ran: Ran) -> None:
    """Two runs of different apps have little in common: start, and what they came to."""
    failed, other = ran.runs["flaky_enrichment"][0], ran.runs["support_triage"][0]
    shown = diff(other, failed, ran.files).stdout
    assert "Only A came to: " in shown
    assert "Only B came to: http-request Fetch the profile" in shown
    assert "B: llm Summarise failed: InvokeServerUnavailableError: 500" in shown
    assert "B: http-request Enrich the profile recovered: HTTPResponseCodeError" in shown
    found = document(other, failed, ran.files)
    [step] = [one for one in found["steps"] if one["name"] == "llm Summarise"]
    assert step["a"] is None
    assert step["b"]["ended"] == "failed"


def test_a_failure_in_one_run_alone_stands_in_the_line_of_its_step(recorded: Recording) -> None:
    for failing in (False, True):
        run = start(t.RUN, {t.RUN_ID: "b" if failing else "a", t.APP_NAME: "app"})
        with run.active():
            node = start(t.NODE, {t.NODE_ID: "1", t.NODE_TYPE: "code", t.NODE_TITLE: "Count"})
            if failing:
                node.fail(ValueError("no number"))
            node.end()
        run.end()
    one, other = traces_of(recorded)
    lines = comparison.lines(comparison.compare([one], [other]), 120)
    assert any("code Count" in line and "succeeded → failed" in line for line in lines)
    assert any("B: code Count failed: ValueError: no number" in line for line in lines)


def test_a_chat_app_without_nodes_is_told_by_what_it_did(recorded: Recording) -> None:
    message = start(t.MESSAGE, {t.MESSAGE_ID: "m", t.APP_MODE: "chat"})
    with message.active():
        call = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: "gpt-4o"})
        call.set(t.INPUT_TOKENS, 7)
        call.end()
    message.end()
    [step] = steps_of(traces_of(recorded))
    assert (step.name, step.input_tokens) == ("message chat", 7)


def test_the_windows_of_an_app_count_its_runs_before_and_after(ran: Ran) -> None:
    found = document("--app", "research_batch", "--before", ran.moment, "--from", ran.files)
    first, second = traces_in(ran.files, "research_batch")
    for window, trace in (("before", first), ("after", second)):
        told = found[window]
        [run] = [span for span in trace.spans if span.name.startswith("invoke_workflow")]
        assert (told["runs"], told["failed"]) == (1, 0)
        assert told["p50_ns"] == told["p95_ns"] == run.duration_ns
        assert (told["tokens"]["input"], told["tokens"]["output"]) == trace.tokens()
        assert told["cost"] == trace.cost()
    [step] = [one for one in found["steps"] if one["name"] == "llm Summarise the source"]
    assert (step["before"]["executions"], step["after"]["executions"]) == (3, 3)


def test_failures_are_counted_in_the_window_they_are_in(ran: Ran) -> None:
    found = document("--app", "flaky_enrichment", "--before", "0s", ran.files)
    assert found["before"]["statuses"] == {"failed": 2}
    assert (found["before"]["failed"], found["after"]["runs"]) == (2, 0)


def test_an_app_is_named_by_its_id_too(ran: Ran) -> None:
    [trace, _] = traces_in(ran.files, "research_batch")
    app = next(filter(None, (span.text(t.APP_ID.key) for span in trace.spans)))
    options = ("--before", ran.moment, "--json", ran.files)
    named = json.loads(diff("--app", "research_batch", *options).stdout)
    by_id = json.loads(diff("--app", app, *options).stdout)
    assert {**by_id, "app": ""} == {**named, "app": ""}


@pytest.mark.parametrize("width", [80, 120])
def test_every_line_fits_the_terminal(ran: Ran, width: int) -> None:
    pairs = [("support_triage", "flaky_enrichment"), ("research_batch", "research_batch")]
    for one, other in pairs:
        shown = diff(ran.runs[one][0], ran.runs[other][1], ran.files, width=width)
        assert shown.exit_code == 0
        assert max(wcswidth(line) for line in shown.stdout.splitlines()) <= width
        window = diff("--app", one, "--before", ran.moment, ran.files, width=width)
        assert max(wcswidth(line) for line in window.stdout.splitlines()) <= width


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give two runs"),
        (("latest",), "give two runs"),
        (("--before", "2h"), "give two runs"),
        (("--before", "2h", "--app", "x", "latest"), "give two runs"),
        (("--before", "yesterday", "--app", "x"), "is no moment"),
        (("--before", "2h", "--app", "x", "--window", "long"), "is no length of time"),
        (("latest", "latest~1", "latest~2"), "too much is given"),
    ],
)
def test_what_is_not_understood_is_said(ran: Ran, arguments: tuple[str, ...], said: str) -> None:
    shown = diff(*arguments, "--from", ran.files)
    assert shown.exit_code == 2
    assert said in shown.stderr


def test_an_app_without_runs_is_said(ran: Ran) -> None:
    shown = diff("--app", "nobody", "--before", "2h", ran.files)
    assert shown.exit_code == 1
    assert "there are no runs of nobody" in shown.stderr


def steps(*named: tuple[str, str]) -> list[Step]:
    """Make steps of node ids and names."""
    return [Step(node_id, name) for node_id, name in named]


def names(one: list[Step], other: list[Step]) -> list[tuple[str, str]]:
    """Return which steps were put beside each other."""
    found = matched(one, other)
    return [(pair.a.name if pair.a else "", pair.b.name if pair.b else "") for pair in found]


def test_steps_are_matched_by_id_first_whatever_they_are_called() -> None:
    assert names(steps(("1", "llm A"), ("2", "llm B")), steps(("2", "llm A"), ("1", "llm C"))) == [
        ("llm A", "llm C"),
        ("llm B", "llm A"),
    ]


def test_then_by_name_and_order_where_a_graph_was_made_anew() -> None:
    one = steps(("1", "llm A"), ("2", "llm A"), ("3", "code"))
    other = steps(("7", "llm A"), ("8", "new"), ("9", "llm A"))
    assert names(one, other) == [("llm A", "llm A"), ("", "new"), ("llm A", "llm A"), ("code", "")]


@given(
    st.lists(st.sampled_from("abcde"), max_size=6), st.lists(st.sampled_from("abcde"), max_size=6)
)
def test_every_step_of_both_runs_is_in_exactly_one_pair(one: list[str], other: list[str]) -> None:
    left = [Step(f"{number}", name) for number, name in enumerate(one)]
    right = [Step(f"{number + 3}", name) for number, name in enumerate(other)]
    pairs = matched(left, right)
    assert [pair.a for pair in pairs if pair.a] == left
    assert sorted(id(pair.b) for pair in pairs if pair.b) == sorted(map(id, right))


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=30), st.integers(1, 99))
def test_quantiles_are_those_of_the_standard_library(values: list[float], percent: int) -> None:
    expected = statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
    assert quantile(values, percent / 100) == pytest.approx(expected)


def test_a_change_is_told_as_people_tell_it() -> None:
    assert [change(100, 150), change(100, 50), change(3, 3), change(0, 1), change(1, 0)] == [
        *("+50 %", "-50 %", "=", "new", "gone"),
    ]
    assert change(1, 25) == "x25"
    assert (both("1", "1"), both("1", "2"), both("", "2")) == ("1", "1 → 2", "- → 2")


NOW = 1_790_000_000 * 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T08:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24 10:00+02:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2h", datetime.fromtimestamp(1_790_000_000 - 7200, UTC)),
        ("0s", datetime.fromtimestamp(1_790_000_000, UTC)),
    ],
)
def test_moments_are_in_utc_unless_they_say_otherwise(text: str, expected: datetime) -> None:
    assert moment_ns(text, NOW) == int(expected.timestamp()) * 10**9


def test_lengths_of_time_have_a_unit() -> None:
    assert [length_ns(text) for text in ("90s", "1.5m", "2h", "7d")] == [
        *(90 * 10**9, 90 * 10**9, 7200 * 10**9, 7 * 86_400 * 10**9),
    ]


def test_the_name_of_a_conversation_adds_its_tokens_and_no_time(recorded: Recording) -> None:
    run = start(t.RUN, {t.RUN_ID: "r", t.APP_NAME: "app"})
    run.fail(RuntimeError("it broke"))
    run.end()
    naming = start(t.GENERATION, {t.RUN_ID: "r", t.OPERATION_TYPE: "generate_name"})
    with naming.active():
        call = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: "gpt-4o"})
        call.set(t.INPUT_TOKENS, 7)
        call.end()
    naming.end()
    traces = traces_of(recorded)
    found = comparison.Run.of(traces)
    assert (found.status, found.tokens) == ("failed", (7, 0))
    assert found.duration_ns == traces[0].end_ns - traces[0].start_ns
    assert [step.name for step in found.steps] == ["generate generate_name"]


def test_a_run_that_was_paused_is_compared_whole(recorded: Recording) -> None:
    for resumed in (False, True):
        run = start(t.RUN, {t.RUN_ID: "r", t.APP_NAME: "app", t.RUN_RESUMED: resumed})
        with run.active():
            known = {t.NODE_ID: f"{resumed}", t.NODE_TYPE: "llm", t.NODE_TITLE: f"{resumed}"}
            start(t.NODE, known).end()
        run.end()
    both_parts: list[Trace] = traces_of(recorded)
    found = comparison.compare(both_parts, both_parts)
    assert [pair.step.name for pair in found.pairs] == ["llm False", "llm True"]
    assert found.one.duration_ns == sum(one.path.duration_ns for one in found.one.found)
