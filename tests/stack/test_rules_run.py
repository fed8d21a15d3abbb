"""Prometheus evaluates every rule on real data without an error."""

from __future__ import annotations

from typing import Any

import httpx

from collector.native.query import wait_until
from tests.stack.observed_fixtures import Observed


def rules(observed: Observed) -> list[dict[str, Any]]:
    """Every rule as Prometheus knows it."""
    answer = httpx.get(f"{observed.layout.prometheus}/api/v1/rules").raise_for_status().json()
    return [rule for group in answer["data"]["groups"] for rule in group["rules"]]


def test_every_rule_is_evaluated_without_error(observed: Observed) -> None:
    def evaluated() -> bool:
        # Two of the anomalies' groups are evaluated every five minutes only.
        return all(
            rule["health"] != "unknown" for rule in rules(observed) if ":" not in rule["name"]
        )

    wait_until(evaluated, timeout=60, what="evaluation of every alert")
    wrong = {
        rule["name"]: rule.get("lastError") for rule in rules(observed) if rule["health"] == "err"
    }
    assert wrong == {}


def test_the_objectives_and_signals_are_recorded(observed: Observed) -> None:
    for name in (
        'dify:slo:availability:error_ratio{window="5m",app_id="app-1"}',
        'dify:slo:latency:error_ratio{window="6h",app_id="app-1"}',
        "dify:slo:events:increase1h",
        "dify:errors:rate5m",
        "dify:slow_queries:rate1h",
        'dify:signal{signal="error_rate"}',
    ):
        wait_until(lambda n=name: observed.prometheus.query(n), timeout=60, what=name)  # type: ignore[misc] # bound at once
