"""Each signal of the example host, through the Collector into its backend and asked back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.native.query import Jaeger, Loki, Prometheus, wait_until
from collector.native.stack import Stack
from examples.host.up import Host

QUESTION = {"question": "I was charged twice", "customer": "Ada"}


@dataclass(frozen=True)
class Ran:
    """A streamed run on the host, with its telemetry in the stack."""

    run_id: str
    tokens: dict[str, int]
    stack: Stack


@pytest.fixture(scope="module")
def ran(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Run an app through the API and a worker, both under `opentelemetry-instrument`."""
    folder = tmp_path_factory.mktemp("host")
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.layout.otlp_http,
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "OTEL_DIFY_STATE_PATH": str(folder / "state"),
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=signals",
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    with Host(folder, prefix=prefix, env=settings) as host:
        answer = host.run_app("support_triage", QUESTION, stream=True)
        counted = {"input": 0, "output": 0}
        for kind in host.model_stats().values():
            for model in kind.values():
                for token in counted:
                    counted[token] += model.get(f"{token}_tokens", 0)
        yield Ran(answer["workflow_run_id"], counted, stack)


def _trace(ran: Ran) -> list[dict[str, Any]]:
    """Find the trace of the run in Jaeger: by its id, on the worker and on the API."""
    jaeger = Jaeger(ran.stack.layout.jaeger)
    tags = {"dify.workflow.run_id": ran.run_id}

    def search(service: str) -> list[str]:
        return jaeger.search(service, tags)

    [trace_id] = wait_until(lambda: search("dify-worker"), what="the run in Jaeger")
    assert wait_until(lambda: search("dify-api"), what="its request in Jaeger") == [trace_id]
    return wait_until(
        lambda: jaeger.trace(trace_id),
        lambda spans: (
            any(span["name"] == "POST /v1/workflows/run" for span in spans)
            and any(span["name"].startswith("process ") for span in spans)
        ),
        what="request and task in the trace",
    )


def test_the_run_is_one_trace_in_jaeger_across_api_and_worker(ran: Ran) -> None:
    spans = _trace(ran)
    names = [span["name"] for span in spans]
    for name in ("POST /v1/workflows/run", "invoke_workflow support_triage", "end End"):
        assert names.count(name) == 1
    assert names.count("chat gpt-4o-mini") == 2
    ids = {span["spanId"] for span in spans}
    roots = [span["name"] for span in spans if span.get("parentSpanId", "") not in ids]
    assert roots == ["POST /v1/workflows/run"]


def test_tokens_in_prometheus_are_the_model_servers_own_count(ran: Ran) -> None:
    prometheus = Prometheus(ran.stack.layout.prometheus)

    def tokens() -> dict[str, int]:
        series = prometheus.query(
            "sum by (gen_ai_token_type) "
            '(gen_ai_client_token_usage_sum{deployment_environment_name="signals"})'
        )
        return {one.labels["gen_ai_token_type"]: int(one.value) for one in series}

    assert ran.tokens["input"] > 0
    assert wait_until(tokens, lambda found: found == ran.tokens, what="all tokens") == ran.tokens


def test_loki_finds_the_runs_events_by_run_and_by_trace(ran: Ran) -> None:
    loki = Loki(ran.stack.layout.loki)
    trace_id = _trace(ran)[0]["traceId"]
    workers = '{service_name="dify-worker"}'

    def lines(selector: str) -> list[str]:
        return sorted(line.body for line in loki.query_range(f"{workers} | {selector}"))

    by_run = wait_until(
        lambda: lines(f'dify_workflow_run_id="{ran.run_id}"'),
        lambda found: f"run {ran.run_id} succeeded" in "\n".join(found),
        what="the events of the run in Loki",
    )
    assert set(by_run) <= set(lines(f'trace_id="{trace_id}"'))
