"""The compose files of agent and gateway, merged by the real docker-compose."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from collector.native.build import ensure
from collector.native.programs import COLLECTOR, COLLECTOR_FOLDER, COMPOSE

ROOT = COLLECTOR_FOLDER.parent
TIERS = COLLECTOR_FOLDER / "tiers"
DIFY = Path(__file__).with_name("dify.yaml")
AGENT = (DIFY, ROOT / "docker-compose.otel.yml", TIERS / "agent.compose.yaml")
GATEWAY = (TIERS / "gateway.compose.yaml",)
CHOSEN = {
    "DIFY_OTEL_HOME": str(ROOT),
    "GRAFANA_PASSWORD": "chosen",
    "OTELCOL_TOKEN": "shown",
    "OTELCOL_GATEWAY_TOKEN": "shown-to-gateways",
}
BACKENDS = {"jaeger", "prometheus", "loki", "grafana", "alertmanager"}


def merged(files: tuple[Path, ...], **environ: str) -> subprocess.CompletedProcess[str]:
    given = [word for path in files for word in ("-f", str(path))]
    return subprocess.run(
        [
            ensure(COMPOSE) / "docker-compose",
            *given,
            "--profile",
            "*",
            "config",
            "--format",
            "json",
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environ},
    )


def services(files: tuple[Path, ...], **environ: str) -> dict[str, dict[str, Any]]:
    answer = merged(files, **CHOSEN, **environ)
    assert answer.returncode == 0, answer.stderr
    found: dict[str, dict[str, Any]] = json.loads(answer.stdout.replace("$$", "$"))["services"]
    return found


@pytest.mark.parametrize("name", ["OTELCOL_TOKEN", "OTELCOL_GATEWAY_TOKEN"])
def test_a_token_is_chosen_by_a_person(name: str) -> None:
    answer = merged(AGENT, **{**CHOSEN, name: ""})
    assert answer.returncode != 0
    assert f"set {name} in .env" in answer.stderr or f"choose {name} in .env" in answer.stderr


def test_beside_an_agent_there_is_no_backend_and_dify_shows_it_the_token() -> None:
    found = services(AGENT)
    assert not BACKENDS & found.keys()
    for name in ("api", "api_websocket", "worker", "worker_beat"):
        told = found[name]["environment"]
        assert told["OTEL_EXPORTER_OTLP_HEADERS"] == "authorization=Bearer%20shown"
    assert found["otel-collector"]["networks"].keys() == {"default"}
    assert "ports" not in found["otel-collector"]


def test_beside_a_gateway_there_is_no_dify_and_it_listens_on_loopback_unless_told() -> None:
    found = services(GATEWAY)
    assert found.keys() == {*BACKENDS, "otel-setup", "otel-collector"}
    assert {port["host_ip"] for one in found.values() for port in one.get("ports", ())} == {
        "127.0.0.1"
    }
    told = services(GATEWAY, OTELCOL_GATEWAY_LISTEN="10.0.0.1")["otel-collector"]["ports"]
    assert {port["host_ip"] for port in told} == {"10.0.0.1"}


def test_what_a_gateway_has_of_the_overlay_is_as_it_is_there() -> None:
    overlay, found = services(AGENT[:2]), services(GATEWAY)
    for name in (*BACKENDS, "otel-setup"):
        assert found[name] == overlay[name]


@pytest.mark.parametrize(
    ("files", "environ"),
    [
        (AGENT, {}),
        (AGENT, {"OTELCOL_DROP_IN": "/etc/otelcol/drop-ins/redis.yaml"}),
        (GATEWAY, {}),
        (
            GATEWAY,
            {
                "OTELCOL_TLS": "/etc/otelcol/tiers/tls.yaml",
                "OTELCOL_TLS_CERT": "/c",
                "OTELCOL_TLS_KEY": "/k",
            },
        ),
    ],
)
def test_the_collector_accepts_what_it_is_started_with(
    files: tuple[Path, ...], environ: dict[str, str], tmp_path: Path
) -> None:
    service = services(files, **environ)["otel-collector"]
    words = [word.replace("/etc/otelcol", str(COLLECTOR_FOLDER)) for word in service["command"]]
    told = {**service["environment"], "OTELCOL_DATA_DIR": str(tmp_path)}
    if environ.get("OTELCOL_TLS"):
        assert (told["OTELCOL_TLS_CERT"], told["OTELCOL_TLS_KEY"]) == (
            "/certificate.pem",
            "/key.pem",
        )
        assert {volume["source"] for volume in service["volumes"]} > {"/c", "/k"}
    answer = subprocess.run(
        [ensure(COLLECTOR) / "otelcol", "validate", *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], **told},
    )
    assert answer.returncode == 0, answer.stderr
