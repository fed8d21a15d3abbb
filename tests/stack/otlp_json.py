"""Telemetry written by hand as OTLP/HTTP JSON, so that these tests need no SDK."""

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True)
class Telemetry:
    """One span, one counter and one log record of one trace, as OTLP/HTTP JSON."""

    service: str
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    nanoseconds: int = field(default_factory=time.time_ns)

    def send(self, url: str) -> None:
        """Send all three signals to an OTLP/HTTP endpoint."""
        for signal, body in (
            ("traces", self.traces()),
            ("metrics", self.metrics()),
            ("logs", self.logs()),
        ):
            self.post(url, signal, body)

    def post(self, url: str, signal: str, body: dict[str, Any]) -> None:
        """Send one request of one signal."""
        response = httpx.post(
            f"{url}/v1/{signal}",
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        response.raise_for_status()

    @property
    def _resource(self) -> dict[str, Any]:
        return {
            "attributes": [
                _pair("service.name", self.service),
                _pair("service.instance.id", "instance-1"),
                _pair("deployment.environment.name", "test"),
            ]
        }

    def traces(self) -> dict[str, Any]:
        """An ExportTraceServiceRequest with one span of 5 ms."""
        span = {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "name": "chat gpt-4o",
            "kind": 3,
            "startTimeUnixNano": str(self.nanoseconds - 5_000_000),
            "endTimeUnixNano": str(self.nanoseconds),
            "attributes": [_pair("dify.workflow.run_id", f"run-{self.trace_id}")],
        }
        scope = {"scope": {"name": "test"}, "spans": [span]}
        return {"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]}

    def metrics(self) -> dict[str, Any]:
        """An ExportMetricsServiceRequest with the counter dify.requests.total at 17."""
        point = {
            "startTimeUnixNano": str(self.nanoseconds - 1_000_000_000),
            "timeUnixNano": str(self.nanoseconds),
            "asInt": "17",
            "attributes": [_pair("type", "workflow")],
            "exemplars": [
                {
                    "timeUnixNano": str(self.nanoseconds),
                    "asInt": "1",
                    "traceId": self.trace_id,
                    "spanId": self.span_id,
                }
            ],
        }
        metric = {
            "name": "dify.requests.total",
            "unit": "{request}",
            "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]},
        }
        scope = {"scope": {"name": "test"}, "metrics": [metric]}
        return {"resourceMetrics": [{"resource": self._resource, "scopeMetrics": [scope]}]}

    def logs(self) -> dict[str, Any]:
        """An ExportLogsServiceRequest with one record of the span."""
        record = {
            "timeUnixNano": str(self.nanoseconds),
            "severityNumber": 17,
            "severityText": "ERROR",
            "body": {"stringValue": "the model did not answer"},
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "attributes": [_pair("dify.workflow.run_id", f"run-{self.trace_id}")],
        }
        scope = {"scope": {"name": "test"}, "logRecords": [record]}
        return {"resourceLogs": [{"resource": self._resource, "scopeLogs": [scope]}]}


def _pair(key: str, value: str) -> dict[str, Any]:
    return {"key": key, "value": {"stringValue": value}}
