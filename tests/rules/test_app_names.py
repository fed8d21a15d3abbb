"""Ids get their names by joins that lose nothing and never find two: by promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from collector.native.build import ensure
from collector.native.programs import COLLECTOR_FOLDER, PROMETHEUS

RECORDINGS = COLLECTOR_FOLDER / "prometheus" / "rules" / "recordings.yaml"
RUNS = 'dify_requests_total{type="workflow",status="failed",app_id="%s"}'
INFO = (
    'dify_app_info{tenant_id="t",app_id="a",app_name="%s",app_mode="workflow",'
    'workflow_id="%s",workflow_version="%s",service_instance_id="%s"}'
)
DURATION = 'dify_workflow_duration_seconds_count{app_id="a",workflow_id="%s"}'
NAMED = "sum by (app_id) (rate(dify_requests_total[5m]))"


def test_every_app_has_one_name_whoever_reports_it(tmp_path: Path) -> None:
    """Two processes, one of which ends; a name that changes; an app and a version nobody reports."""
    series = {
        RUNS % "a": "0+60x120",
        RUNS % "b": "0+60x120",
        RUNS % "": "0+60x120",
        INFO % ("Old name", "w1", "2026-11-01", "one"): "1x10 _x110",
        INFO % ("New name", "w1", "2026-11-01", "two"): "_x11 1x109",
        INFO % ("New name", "w2", "2026-11-24", "two"): "_x11 1x109",
        DURATION % "w1": "0+60x120",
        DURATION % "w3": "0+60x120",
    }
    count = "count by (app_id) (dify:app:info)"
    joined = f"{NAMED} * on (app_id) group_left (app_name) dify:app:info"
    version = (
        "sum by (workflow_id) (rate(dify_workflow_duration_seconds_count[5m]))"
        " * on (workflow_id) group_left (workflow_version) dify:workflow:info"
    )
    checks = [
        {"expr": count, "labels": [{"app_id": "a"}, {"app_id": "b"}, {}]},
        {
            "expr": f"count by (app_id) ({joined})",
            "labels": [{"app_id": "a"}, {"app_id": "b"}, {}],
        },
        {
            "expr": f'{joined} and on (app_id) dify:app:info{{app_id!=""}}',
            "labels": [
                {"app_id": "a", "app_name": "New name"},
                {"app_id": "b", "app_name": "b"},
            ],
        },
        {
            "expr": version,
            "labels": [
                {"workflow_id": "w1", "workflow_version": "2026-11-01"},
                {"workflow_id": "w3", "workflow_version": "w3"},
            ],
        },
    ]
    test = {
        "rule_files": [str(RECORDINGS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": it} for name, it in series.items()],
                "promql_expr_test": [
                    {
                        "expr": check["expr"],
                        "eval_time": "100m",
                        "exp_samples": [
                            {
                                "labels": "{"
                                + ",".join(f'{name}="{value}"' for name, value in one.items())
                                + "}",
                                "value": 1,
                            }
                            for one in check["labels"]
                            if isinstance(one, dict)
                        ],
                    }
                    for check in checks
                ],
            }
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(test))
    command = [str(ensure(PROMETHEUS) / "promtool"), "test", "rules", str(path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
