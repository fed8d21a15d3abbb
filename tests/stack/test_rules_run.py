"""Prometheus evaluates every rule on real data without an error."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

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


def test_a_container_without_a_limit_has_no_share_of_it(observed: Observed) -> None:
    """The reference's expression divides by zero for it, and always fires."""
    as_written = 'container_memory_usage_bytes{pod=~"dify-.*"} / container_spec_memory_limit_bytes'
    shares = wait_until(lambda: observed.prometheus.query(as_written), what="kubelet's samples")
    assert any(math.isinf(series.value) for series in shares)
    [rule] = [rule for rule in rules(observed) if rule["name"] == "DifyHighMemoryUsage"]
    share, _, _ = rule["query"].rpartition(" > ")
    [series] = observed.prometheus.query(share)
    assert series.labels["container"] == "api"
    assert series.value == pytest.approx(16_257_024 / 178_257_920)


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
