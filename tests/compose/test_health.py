"""The files of ``docs/health.md`` merge with Dify's and with the overlay."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from collector.native.build import ensure
from collector.native.programs import COMPOSE, PROMETHEUS
from tests.compose.test_overlay import CHOSEN, DIFY, OVERLAY

PAGE = Path(__file__).parents[2] / "docs" / "health.md"


def part(name: str) -> str:
    """Return the YAML between two marks of the page."""
    found = re.search(
        rf"<!-- {name}: tested as written -->\n```yaml\n(.*?)```\n<!-- {name}: end -->",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert found, name
    return found[1]


def merged(folder: Path, name: str) -> dict[str, Any]:
    """Return the services that the files come to; Dify's lies where it lies in Dify."""
    dify = folder / "docker-compose.yaml"
    dify.write_text(DIFY.read_text(encoding="utf-8"), encoding="utf-8")
    own = folder / "docker-compose.own.yaml"
    own.write_text(part(name), encoding="utf-8")
    files = [option for file in (dify, OVERLAY, own) for option in ("-f", str(file))]
    answer = subprocess.run(
        [str(ensure(COMPOSE) / "docker-compose"), *files, "config", "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **CHOSEN},
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout)["services"]
    return found


def test_the_health_check_runs_the_command(tmp_path: Path) -> None:
    check = merged(tmp_path, "check")["api"]["healthcheck"]["test"]
    assert check[:4] == ["CMD", "python", "-m", "otel_dify.cli"]


def test_the_endpoint_has_difys_variables_and_the_state_of_all(tmp_path: Path) -> None:
    services = merged(tmp_path, "endpoint")
    ours, api, worker = (services[name] for name in ("otel-health", "api", "worker"))
    for service in (ours, api, worker):
        assert service["environment"]["OTEL_DIFY_STATE_PATH"] == "/var/lib/otel_dify/state"
        assert "/var/lib/otel_dify" in {one["target"] for one in service["volumes"]}
    assert ours["image"] == worker["image"]
    # What Dify has of its own, and nothing of ours that would record here.
    own = {name for name in worker["environment"] if not name.startswith(("OTEL", "PYTHON"))}
    assert own
    assert own <= set(ours["environment"])
    [port] = ours["ports"]
    assert (port["host_ip"], port["published"], port["target"]) == ("127.0.0.1", "9465", 9465)


@pytest.mark.parametrize("name", ["scrape"])
def test_prometheus_takes_the_scrape_configuration(tmp_path: Path, name: str) -> None:
    path = tmp_path / "prometheus.yaml"
    path.write_text(part(name), encoding="utf-8")
    command = [str(ensure(PROMETHEUS) / "promtool"), "check", "config", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
