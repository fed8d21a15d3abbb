"""Dashboards and alerts that operators of Dify already have find what they ask for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.native.errors import NativeError
from collector.native.query import Series, wait_until
from tests.stack.observed_fixtures import Observed
from tests.stack.traffic import ANSWERS, APP, CHAT_ROUTE, COUNTS, MODEL, TENANT

REFERENCE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent / "reference-queries.yaml").read_text()
)
METRICS: dict[str, list[str]] = REFERENCE["metrics"]
BUCKETS = {
    "dify_workflow_duration_seconds": (0.1, 0.5, 1, 2.5, 5, 10, 30, 60),
    "http_request_duration_seconds": (0.1, 0.5, 1, 2, 5, 10),
    "ai_model_duration_seconds": (0.5, 1, 2, 5, 10, 30),
}


def left_side(expression: str) -> str:
    """What an alert compares with its threshold."""
    left, _, _ = expression.rpartition(" == " if " == " in expression else " > ")
    return left


EXPRESSIONS = [
    *REFERENCE["dashboards"],
    *(left_side(alert["expr"]) for alert in REFERENCE["alerts"]),
]


@pytest.fixture(scope="module")
def answers(observed: Observed) -> Iterator[dict[str, list[Series]]]:
    """Every expression, verbatim, with what Prometheus answers; printed when all are asked."""
    found: dict[str, list[Series]] = {}

    def number(expression: str) -> list[Series]:
        # NaN is no data: nothing happened within the window.
        return [s for s in observed.prometheus.query(expression) if s.value == s.value]

    for expression in EXPRESSIONS:
        try:
            found[expression] = wait_until(lambda: number(expression), what=expression)  # noqa: B023 - called at once
        except NativeError:
            found[expression] = []
    yield found
    print(f"\n{'series':>7} {'value':>12}  expression")  # noqa: T201 - a table for a person
    for expression, series in found.items():
        value = f"{series[0].value:.6g}" if series else "-"
        print(f"{len(series):>7} {value:>12}  {expression}")  # noqa: T201 - the same


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_query_and_left_side_returns_data(
    answers: dict[str, list[Series]], expression: str
) -> None:
    assert answers[expression]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_its_labels(observed: Observed, name: str) -> None:
    series = wait_until(
        lambda: observed.prometheus.query(f'{{__name__=~"{name}|{name}_count"}}'), what=name
    )
    for label in METRICS[name]:
        assert any(label in one.labels for one in series), (label, series[0].labels)


@pytest.mark.parametrize("name", BUCKETS)
def test_histograms_have_the_buckets_that_are_asked_for(observed: Observed, name: str) -> None:
    series = wait_until(lambda: observed.prometheus.query(f"{name}_bucket"), what=name)
    assert {float(s.labels["le"]) for s in series} >= set(BUCKETS[name])


def test_the_copies_say_what_the_originals_say(observed: Observed) -> None:
    """A copy that lost or doubled something would be worse than none."""
    rounds = observed.rounds
    total = {
        "sum(dify_api_requests_total)": COUNTS["requests"],
        "sum(http_requests_total)": COUNTS["requests"],
        "sum(dify_api_request_duration_seconds_count)": COUNTS["requests"],
        f'sum(dify_api_requests_total{{status="500",path="{CHAT_ROUTE}"}})': ANSWERS[500],
        'sum(dify_api_requests_total{status="404",endpoint="unmatched"})': ANSWERS[404],
        "sum(dify_workflow_executions_total)": COUNTS["runs"],
        'sum(dify_token_usage_total{usage_type="prompt_tokens"})': COUNTS["input tokens"],
        'sum(ai_tokens_used_total{type="completion"})': COUNTS["output tokens"],
        f'sum(dify_model_requests_total{{model="{MODEL}",type="chat"}})': COUNTS["model calls"],
        'sum(ai_model_calls_total{status="error"})': 1,
        f'sum(dify_app_messages_total{{app_id="{APP}",tenant_id="{TENANT}"}})': 2,
        f'sum(dify_app_conversations_total{{app_id="{APP}",tenant_id="{TENANT}"}})': 1,
        # Answers of 500, failed runs and a failed task.
        'sum(errors_total{error_type="ConnectionError"})': ANSWERS[500],
        'sum(errors_total{endpoint="workflow",error_type="rate_limit"})': 2,
        'sum(errors_total{endpoint="tasks.mail_task"})': 1,
    }
    # One process was killed and began again at zero: its last round is what a plain sum shows.
    for promql, each in total.items():
        anchored = promql.replace("sum(", "sum(increase(").replace(")", "[1h] anchored))", 1)
        if "{" in promql:
            anchored = promql.replace("sum(", "sum(increase(")[:-1] + "[1h] anchored))"
        assert observed.until(anchored, lambda v, n=each: v == n * rounds) == each * rounds  # type: ignore[misc] # bound at once


@pytest.mark.parametrize(
    ("page", "job"), [("/health", "dify-api"), ("/console/api/setup", "dify-health-check")]
)
def test_up_says_whether_the_page_answers(observed: Observed, page: str, job: str) -> None:
    promql = f'up{{job="{job}"}}'
    observed.until(promql, lambda value: value == 1)
    observed.pages.broken.add(page)
    try:
        observed.until(promql, lambda value: value == 0)
    finally:
        observed.pages.broken.discard(page)
    observed.until(promql, lambda value: value == 1)


def test_percentages_are_between_0_and_100(observed: Observed) -> None:
    deadline = time.time()
    for name in (
        "system_cpu_usage_percent",
        "system_memory_usage_percent",
        "system_disk_usage_percent",
    ):
        series = wait_until(lambda n=name: observed.prometheus.query(n), what=name)  # type: ignore[misc] # bound at once
        assert all(0 < one.value <= 100 for one in series), (name, deadline, series)
