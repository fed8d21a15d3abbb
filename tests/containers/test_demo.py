"""`make demo STACK=docker`, as a newcomer sees it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.containers.deployment import OVERLAY, SETUP_IMAGE
from tests.containers.engine import ROOT, Engine
from tests.containers.images import images

STARTED = ("otel-collector", "jaeger", "prometheus", "loki")


@pytest.mark.timeout(900)
def test_docker_shows_what_its_containers_answer_and_leaves_none(
    engine: Engine, tmp_path: Path
) -> None:
    """The demo compares Prometheus' answers with what happened itself, and fails otherwise."""
    services = yaml.safe_load(OVERLAY.read_text(encoding="utf-8"))["services"]
    environ = {k: v for k, v in engine.environ.items() if not k.startswith("OTEL_")}
    command = [sys.executable, "-m", "examples.demo", "--stack", "docker", "--folder"]
    with (
        images(engine, [SETUP_IMAGE, *(services[name]["image"] for name in STARTED)]),
        engine.inside(),
    ):
        done = subprocess.run(
            [*command, tmp_path / "demo"],
            cwd=ROOT,
            env={**environ, "OTEL_SETUP_IMAGE": SETUP_IMAGE, "COLUMNS": "150", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    parts = re.split(r"━━ (.*) ━━\n", done.stdout)
    shown = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert "[2] process " in shown["research_batch"]
    assert "status=failed" in shown["Prometheus"]
    assert re.search(r"counted \d+ input and \d+ output tokens: the same", shown["Prometheus"])
    assert re.search(r"ERROR .* run \S+ failed in", shown["Loki"])
    assert re.search(r"Jaeger +http://127\.0\.0\.1:\d+/trace/\w{32}", shown["Look yourself"])
    label = "label=com.docker.compose.project=otel-dify-demo"
    for kind in ("container", "volume", "network"):
        every = ("--all",) if kind == "container" else ()
        assert engine.docker(kind, "ls", "--quiet", *every, "--filter", label) == ""
