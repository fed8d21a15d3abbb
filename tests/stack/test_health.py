"""The page of metrics: checked by promtool, scraped by Prometheus."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.native.build import ensure
from collector.native.programs import PROMETHEUS
from examples.host.children import Children, free_port
from otel_dify.cli.web import Unanswered, get
from tests.compose.test_health import part
from tests.process.test_health import Serving, Working, environment

DEADLINE = 60.0


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """Serve what two processes count."""
    env = environment(tmp_path)
    some, made = Working(tmp_path, env, 2), Serving(env)
    yield made
    assert made.stop() == ""
    some.end()


def _answers(url: str) -> Callable[[], bool]:
    def answers() -> bool:
        try:
            return get(url, DEADLINE).status == 200
        except Unanswered:
            return False

    return answers


def test_promtool_has_nothing_to_say_of_the_format(serving: Serving) -> None:
    text = serving.get("/metrics").body.decode()
    command = [str(ensure(PROMETHEUS) / "promtool"), "check", "metrics"]
    answer = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert "http_server_request_duration_seconds_bucket" in text


def test_prometheus_scrapes_it_as_the_page_says(serving: Serving, tmp_path: Path) -> None:
    configuration = part("scrape").replace("127.0.0.1:9465", f"127.0.0.1:{serving.port}")
    (tmp_path / "prometheus.yaml").write_text(
        f"global: {{scrape_interval: 1s}}\n{configuration}", encoding="utf-8"
    )
    port, children = free_port(), Children(tmp_path, tmp_path)
    url = f"http://127.0.0.1:{port}"
    options = (
        f"--config.file={tmp_path / 'prometheus.yaml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    command = [str(ensure(PROMETHEUS) / "prometheus"), *options]
    children.start("prometheus", command, _answers(f"{url}/-/ready"))

    def asked(query: str) -> list[dict[str, Any]]:
        reply = get(f"{url}/api/v1/query", DEADLINE, {"query": query})
        found: list[dict[str, Any]] = json.loads(reply.body)["data"]["result"]
        return found

    try:
        deadline = time.monotonic() + DEADLINE
        counts = "http_server_request_duration_seconds_count"
        while len(asked(counts)) < 2:
            assert time.monotonic() < deadline, children.log("prometheus").read_text()
            time.sleep(0.1)
        assert [one["value"][1] for one in asked(counts)] == ["3", "3"]
        # As OTLP names them, and not as those of the scrape.
        assert {one["metric"]["job"] for one in asked(counts)} == {"dify/dify-dify"}
        assert len({one["metric"]["instance"] for one in asked(counts)}) == 2
        [half] = asked(
            "histogram_quantile(0.5, sum by (le) (http_server_request_duration_seconds_bucket))"
        )
        assert 0.1 <= float(half["value"][1]) <= 0.25
        assert [one["value"][1] for one in asked('up{job="dify"}')] == ["1"]
    finally:
        children.stop()
