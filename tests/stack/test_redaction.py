"""The Collector's redaction on the real Collector: a second line behind that of Dify's processes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector import redaction
from collector.native.build import ensure
from collector.native.layout import Ports
from collector.native.programs import COLLECTOR
from collector.native.query import wait_until
from tests.stack.otlp_json import Telemetry
from tests.unit.cleaning.corpus import fill

# Of each sort one; the corpus of otel_dify's own redaction has many more.
SECRETS = (
    "sk-proj-{w60}",
    "sk-ant-api03-{w93}",
    "app-{a24}",
    "dataset-{a24}",
    "AKIA{H16}",
    "ghp_{a36}",
    "xoxb-{d12}-{d12}-{a24}",
    "eyJhbGciOiJIUzI1NiJ9.eyJ{a40}.{w43}",
    "hunter2{a10}@",
)
KEPT = "run 5c1d2f3a-9b0e-4c7d-8a6f-0123456789ab of app-generator took 512 tokens"
_CONFIG = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:%(port)s"}}}}
exporters: {file: {path: "%(path)s", flush_interval: 100ms}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], processors: [transform/redaction], exporters: [file]}
    metrics: {receivers: [otlp], processors: [transform/redaction], exporters: [file]}
    logs: {receivers: [otlp], processors: [transform/redaction], exporters: [file]}
"""


def _text(secret: str) -> str:
    return f"postgresql://dify:{secret}db/x" if secret.endswith("@") else f"{KEPT}, {secret} "


def _with(request: dict[str, Any], secret: str) -> dict[str, Any]:
    """Put a secret wherever a request has text."""
    text = _text(secret)
    pair = {"key": "note", "value": {"stringValue": text}}
    named = {"key": "http.request.header.authorization", "value": {"stringValue": f"X {secret}"}}

    def put(value: Any) -> None:
        if isinstance(value, list):
            for inner in value:
                put(inner)
        if not isinstance(value, dict):
            return
        for inner in list(value.values()):
            put(inner)
        if "spanId" in value or "asInt" in value or "asDouble" in value:
            value.setdefault("attributes", []).extend([pair, named])
        if "startTimeUnixNano" in value and "spanId" in value:
            value["name"] = text
            value["status"] = {"code": 2, "message": text}
            value["events"] = [{"name": text, "attributes": [pair]}]
        if "body" in value:
            value["body"] = {"stringValue": text}

    put(request)
    return request


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """Send secrets in all three signals; return what the Collector sent on, and the secrets."""
    folder = tmp_path_factory.mktemp("redaction")
    port, path, config = Ports.free().otlp_http, folder / "out.json", folder / "config.yaml"
    config.write_text(_CONFIG % {"port": port, "path": path})
    secrets = [fill(one, f"collector {number}") for number, one in enumerate(SECRETS)]
    command: list[str | Path] = [
        ensure(COLLECTOR) / "otelcol",
        f"--config={config}",
        f"--config={redaction.FILE}",
    ]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(url), what="the Collector")
        for secret in secrets:
            sent = Telemetry("redaction")
            for signal in ("traces", "metrics", "logs"):
                sent.post(url, signal, _with(getattr(sent, signal)(), secret))
        lines = wait_until(
            lambda: _lines(path, 3 * len(secrets)), what="what the Collector sends on"
        )
    finally:
        running.terminate()
        running.wait()
    return lines, secrets


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.NOT_FOUND
    except httpx.TransportError:
        return False


def _lines(path: Path, number: int) -> str:
    text = path.read_text() if path.exists() else ""
    return text if text.count("resource") and text.count("\n") >= number else ""


def test_no_secret_goes_on_in_any_signal(received: tuple[str, list[str]]) -> None:
    text, secrets = received
    for signal in ("resourceSpans", "resourceMetrics", "resourceLogs"):
        assert signal in text
    assert [secret for secret in secrets if secret in text] == []
    assert "http.request.header.authorization" not in text
    assert "postgresql://dify:***@db/x" in text


def test_the_rest_of_a_text_stays(received: tuple[str, list[str]]) -> None:
    text, secrets = received
    kept = [json.loads(line) for line in text.splitlines()]
    assert str(kept).count(KEPT) >= len(secrets) - 1


def test_the_drop_in_has_the_forms_that_otel_dify_knows() -> None:
    assert redaction.FILE.read_text() == redaction.drop_in()
