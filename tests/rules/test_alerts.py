"""Every alert fires where it should, does not before, and is gone afterwards: by promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.native.build import ensure
from collector.native.programs import COLLECTOR_FOLDER, PROMETHEUS
from tests.rules.cases import CASES, Case

RULES = sorted((COLLECTOR_FOLDER / "prometheus" / "rules").glob("*.yaml"))
ROOT = COLLECTOR_FOLDER.parent


def alerts() -> dict[str, dict[str, Any]]:
    """Every alert of the rules, by name."""
    return {
        rule["alert"]: rule
        for path in RULES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


ALERTS = alerts()
FILES = {alert: next(p for p in RULES if f"alert: {alert}\n" in p.read_text()) for alert in ALERTS}
NEEDED = [path for path in RULES if path.stem in {"recordings", "budgets"}]


def unit_test(alert: str, case: Case) -> dict[str, Any]:
    """What promtool is to check: nothing, firing, nothing."""
    expression = f'count by (alertname) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    firing = [{"labels": f'{{alertname="{alert}"}}', "value": case.firing}]
    checks = zip(case.phases.ends, ([], firing, []), strict=True)
    return {
        "rule_files": [str(path) for path in (FILES[alert], *NEEDED)],
        "evaluation_interval": f"{case.phases.step}m",
        "tests": [
            {
                "interval": f"{case.phases.step}m",
                "input_series": [
                    {"series": one.selector, "values": one.values(case.phases)}
                    for one in case.series
                ],
                "promql_expr_test": [
                    {"expr": expression, "eval_time": f"{minute}m", "exp_samples": expected}
                    for minute, expected in checks
                ],
            }
        ],
    }


@pytest.mark.parametrize("alert", CASES)
def test_it_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(unit_test(alert, CASES[alert])))
    command = [str(ensure(PROMETHEUS) / "promtool"), "test", "rules", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_is_tested() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do(name: str) -> None:
    """Severity, a sentence, a section of the runbooks, a dashboard, a search of traces."""
    rule = ALERTS[name]
    notes = rule["annotations"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert 20 < len(notes["summary"]) < 160
    assert notes["runbook"] == f"docs/runbooks.md#{name.lower()}"
    assert f"\n## {name}\n" in (ROOT / "docs" / "runbooks.md").read_text()
    uid = notes["dashboard"].removeprefix("/d/").partition("?")[0]
    assert (COLLECTOR_FOLDER / "grafana" / "dashboards" / f"{uid}.json").exists()
    assert notes["traces"].startswith("/search?service=dify-")


def test_an_alias_names_an_alert() -> None:
    aliases = {
        rule["labels"]["alias_of"] for rule in ALERTS.values() if "alias_of" in rule["labels"]
    }
    assert aliases <= set(ALERTS)


def test_the_names_and_thresholds_of_the_reference_are_kept() -> None:
    reference = yaml.safe_load((ROOT / "tests" / "stack" / "reference-queries.yaml").read_text())
    for old in reference["alerts"]:
        new = ALERTS[old["name"]]
        assert (new["for"], new["labels"]["severity"]) == (old["for"], old["severity"])
        threshold = old["expr"].rpartition(" ")[2]
        assert new["expr"].rstrip().endswith((threshold, "[7d])")), old["name"]
