"""Links between traces, logs and metrics name what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from collector.addresses import addresses
from collector.configure import write
from collector.jaeger.links import ui
from collector.native.build import ensure
from collector.native.layout import Layout
from collector.native.programs import COLLECTOR_FOLDER, JAEGER
from collector.native.services import JAEGER_CONFIG
from otel_dify import table as t
from tests.stack.test_configs import run

GRAFANA = COLLECTOR_FOLDER / "grafana"
PATTERNS = ui(addresses({"CONSOLE_WEB_URL": "https://dify.example.com/"}))["linkPatterns"]
KEYS = {attribute.key for attribute in t.ATTRIBUTES}


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """A native run's, with the links."""
    layout = Layout(tmp_path)
    write(layout.configured, {})
    return layout.environment()


def test_jaeger_accepts_the_links(environment: Mapping[str, str]) -> None:
    answer = run(
        ensure(JAEGER) / "jaeger", "validate", f"--config={JAEGER_CONFIG}", environment=environment
    )
    assert answer.returncode == 0, answer.stderr


def test_jaegers_links_are_on_attributes_that_exist() -> None:
    for pattern in PATTERNS:
        keys = set(re.findall(r"#\{([^}]+)\}", pattern["url"])) | {pattern.get("key", "traceID")}
        assert keys <= KEYS | {"traceID"}, pattern


def test_a_run_leads_to_difys_console_where_that_is() -> None:
    leads = [one["url"] for one in PATTERNS if one.get("key") == "dify.workflow.run_id"]
    assert "https://dify.example.com/app/#{dify.app_id}/logs" in leads


def test_grafanas_links_lead_to_data_sources_and_dashboards_that_exist() -> None:
    sources = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "datasources.yaml").read_text()
    )["datasources"]
    known = {source["uid"] for source in sources}
    named = set(re.findall(r"'datasourceUid': '(\w+)'", str(sources)))
    assert named <= known
    for path in (GRAFANA / "dashboards").glob("*.json"):
        for panel in json.loads(path.read_text())["panels"]:
            assert {target["datasource"]["uid"] for target in panel.get("targets", ())} <= known
    fields = {
        field["matcherRegex"]
        for source in sources
        for field in source["jsonData"].get("derivedFields", [])
    }
    assert fields <= {key.replace(".", "_") for key in KEYS} | {"trace_id"}
    boards = "".join(path.read_text() for path in (GRAFANA / "dashboards").glob("*.json"))
    for uid in re.findall(r"/d/([\w-]+)", f"{sources}{PATTERNS}{boards}"):
        assert (GRAFANA / "dashboards" / f"{uid}.json").exists()
