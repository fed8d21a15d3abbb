"""The example host under `opentelemetry-instrument`, in every model of workers that Dify knows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from examples.host.up import Host

QUESTION = {"question": "I was charged twice", "customer": "Ada"}
WEB = Literal["flask", "gthread", "gevent"]
POOL = Literal["prefork", "threads", "gevent"]


def lines(folder: Path, signal: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Read a signal's OTLP JSON lines: each resource's attributes, and one of its scopes."""
    for path in sorted(folder.glob(f"{signal}-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for of_resource in json.loads(line)[
                f"resource{signal.capitalize()}".replace("Traces", "Spans")
            ]:
                resource = {
                    pair["key"]: next(iter(pair["value"].values()))
                    for pair in of_resource["resource"]["attributes"]
                }
                for scope in of_resource[f"scope{signal.capitalize()}".replace("Traces", "Spans")]:
                    yield resource, scope


@pytest.mark.parametrize(
    ("web", "pool"), [("flask", "prefork"), ("gthread", "threads"), ("gevent", "gevent")]
)
def test_a_stream_is_one_trace_and_nothing_is_lost_at_the_end(
    tmp_path: Path, web: WEB, pool: POOL
) -> None:
    """Nothing is flushed by the test: what a process still holds it sends when it ends."""
    telemetry = tmp_path / "telemetry"
    settings = {
        "OTEL_TRACES_EXPORTER": "otlp_file",
        "OTEL_METRICS_EXPORTER": "otlp_file",
        "OTEL_LOGS_EXPORTER": "otlp_file",
        "OTEL_DIFY_FILE_PATH": str(telemetry),
        "OTEL_DIFY_STATE_PATH": str(tmp_path / "state"),
        # Longer than the test: only the end of the processes exports.
        "OTEL_METRIC_EXPORT_INTERVAL": "600000",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
        "OTEL_BLRP_SCHEDULE_DELAY": "600000",
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    with Host(tmp_path / "host", prefix=prefix, env=settings, web=web, pool=pool) as host:
        runs = {
            host.run_app("support_triage", QUESTION, stream=stream)["workflow_run_id"]
            for stream in (True, False, True)
        }
        logs = "".join(host.log(name).read_text() for name in ("web", "worker"))
    assert "Failed to detach context" not in logs
    assert "otel_dify" not in logs

    spans = [span for _, scope in lines(telemetry, "traces") for span in scope["spans"]]
    ids = {span["spanId"] for span in spans}
    roots = [span for span in spans if span.get("parentSpanId", "") not in ids]
    requests = [span for span in roots if span["name"] == "POST /v1/workflows/run"]
    assert len(requests) == len(runs)
    assert len({span["traceId"] for span in spans if "chat" in span["name"]}) == len(runs)
    assert sum(span["name"] == "chat gpt-4o-mini" for span in spans) == 2 * len(runs)
    assert [span["name"] for span in spans if "chat" in span["name"] and span in roots] == []

    counted = sum(
        int(point["asInt"])
        for _, scope in lines(telemetry, "metrics")
        for metric in scope["metrics"]
        if metric["name"] == "dify.requests.total"
        for point in metric["sum"]["dataPoints"]
        if {"key": "type", "value": {"stringValue": "workflow"}} in point["attributes"]
    )
    assert counted == len(runs)

    told = {
        (record["eventName"], pair["value"]["stringValue"])
        for _, scope in lines(telemetry, "logs")
        for record in scope["logRecords"]
        if record.get("eventName") == "dify.workflow.run"
        for pair in record["attributes"]
        if pair["key"] == "dify.workflow.run_id"
    }
    assert {run for _, run in told} == runs
