"""What Prometheus counts is what happened: several processes, restarts, and links to traces."""

from __future__ import annotations

import time

from collector.native.query import Jaeger, wait_until
from tests.stack.observed_fixtures import Observed
from tests.stack.otlp_json import Telemetry
from tests.stack.traffic import ANSWERS, COUNTS


def test_increase_is_the_true_count_over_several_processes_and_resets(observed: Observed) -> None:
    """Of a counter and of histograms; one of three processes was killed and began again at 0."""
    observed.until("count(count by (instance) (dify_requests_total))", lambda n: n >= 2)
    truth = {
        "http_server_request_duration_seconds_count": COUNTS["requests"],
        'http_server_request_duration_seconds_count{http_response_status_code="500"}': ANSWERS[500],
        'dify_requests_total{type="workflow"}': COUNTS["runs"],
        "dify_workflow_duration_seconds_count": COUNTS["runs"],
        'gen_ai_client_token_usage_sum{gen_ai_token_type="input"}': COUNTS["input tokens"],
        'gen_ai_client_token_usage_sum{gen_ai_token_type="output"}': COUNTS["output tokens"],
    }
    rounds = observed.rounds
    for series, each in truth.items():
        promql = f"sum(increase({series}[1h] anchored))"
        assert observed.until(promql, lambda v, n=each: v == n * rounds) == each * rounds  # type: ignore[misc] # bound at once


def test_a_restart_goes_on_with_the_same_series(observed: Observed) -> None:
    """Slots are taken again, and what is counted in their files: a successor resets nothing."""
    promql = (
        'resets(dify_workflow_duration_seconds_count{service_name="dify-api",status="failed"}[1h])'
    )
    assert observed.until(promql, lambda value: value == 0) == 0


def test_exemplars_lead_from_a_bucket_to_a_trace(observed: Observed) -> None:
    now = time.time()
    found = wait_until(
        lambda: observed.prometheus.exemplars(
            "http_server_request_duration_seconds_bucket", now - 600, now + 600
        ),
        what="exemplar in Prometheus",
    )
    trace_id = found[0]["labels"]["trace_id"]
    jaeger = Jaeger(observed.layout.jaeger)
    spans = wait_until(lambda: jaeger.trace(trace_id), what="trace of the exemplar in Jaeger")
    assert any(span["name"].startswith("POST") for span in spans)


def test_an_overflow_of_label_values_is_visible_and_alerted(observed: Observed) -> None:
    sent = Telemetry(service="dify-overflow")
    body = sent.metrics()
    point = body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"]["dataPoints"][0]
    point["attributes"] = [{"key": "otel.metric.overflow", "value": {"boolValue": True}}]
    sent.post(observed.layout.otlp_http, "metrics", body)
    overflow = 'dify_requests_total{otel_metric_overflow="true"}'
    assert observed.until(overflow, lambda value: value == 17) == 17
    alert = 'ALERTS{alertname="MetricCardinalityOverflow"}'
    assert observed.until(f"count({alert})", lambda value: value >= 1) >= 1
