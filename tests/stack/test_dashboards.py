"""Every panel of every dashboard has something to show."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import wait_until
from tests.stack.observed_fixtures import Observed

DASHBOARDS = sorted((COLLECTOR_FOLDER / "grafana" / "dashboards").glob("*.json"))
# What Grafana puts in place of its own variables, for the last hour; others have their defaults.
GRAFANA = {"$__rate_interval": "5m", "$__auto": "5m", "$app": ".*", "$model": ".*", "$run": ".+"}
TARGETS = [
    (path.stem, panel["title"], {**target, "datasource": panel["datasource"]})
    for path in DASHBOARDS
    for panel in json.loads(Path(path).read_text())["panels"]
    for target in panel["targets"]
]


def substituted(expression: str) -> str:
    """What Grafana would send."""
    for name, value in GRAFANA.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def has_data(observed: Observed, target: dict[str, Any]) -> bool:
    """Whether a query is answered with at least one number or line."""
    expression = substituted(target["expr"])
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
    wait_until(lambda: has_data(observed, target), what=f"data in {board}: {title}")
