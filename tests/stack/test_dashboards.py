"""Every panel of every dashboard has something to show."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import httpx
import pytest

from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import wait_until
from tests.stack.observed_fixtures import Observed

DASHBOARDS = {
    path.stem: json.loads(path.read_text())
    for path in sorted((COLLECTOR_FOLDER / "grafana" / "dashboards").glob("*.json"))
}
# What Grafana puts in place of its own variables, for the last hour.
GRAFANA = {"__rate_interval": "5m", "__interval": "5m", "__range": "1h"}
TARGETS = [
    (board, panel["title"], target)
    for board, written in DASHBOARDS.items()
    for panel in written["panels"]
    for target in panel.get("targets", ())  # A row has none.
]


def substituted(board: str, expression: str) -> str:
    """What Grafana sends while nothing has been chosen above the dashboard."""
    chosen = {
        choice["name"]: choice.get("allValue") or choice["query"]
        for choice in DASHBOARDS[board]["templating"].get("list", [])
    }
    return re.sub(r"\$(\w+)", lambda found: str((GRAFANA | chosen)[found[1]]), expression)


def has_data(observed: Observed, board: str, target: dict[str, Any]) -> bool:
    """Whether a query is answered with at least one number or line."""
    expression = substituted(board, target["expr"])
    if target["datasource"]["type"] == "prometheus":
        return any(not math.isnan(one.value) for one in observed.prometheus.query(expression))
    if not re.match(r"\w+[ (]", expression):
        return bool(observed.loki.query_range(expression))
    answer = httpx.get(f"{observed.layout.loki}/loki/api/v1/query", params={"query": expression})
    assert answer.is_success, answer.text
    return bool(answer.json()["data"]["result"])


@pytest.mark.parametrize(
    ("board", "title", "target"),
    TARGETS,
    ids=[f"{board}-{title.partition(' · ')[0]}-{t['refId']}" for board, title, t in TARGETS],
)
def test_a_panel_has_data(
    observed: Observed, board: str, title: str, target: dict[str, Any]
) -> None:
    wait_until(lambda: has_data(observed, board, target), what=f"data in {board}: {title}")
