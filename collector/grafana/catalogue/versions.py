"""Versions: whether what was published last is better or worse than what was before."""

from __future__ import annotations

from collector.grafana.catalogue.choices import APP, CHANGED, DEPLOYED, OF_APP, TENANT
from collector.grafana.panels import HALF, Column, Dashboard, Limits, Panel, Section, Table
from collector.grafana.queries import COST, RATE, part, quantile, rate, versioned

OF_RUNS = f'{OF_APP},type="workflow",workflow_id!=""'
OF_WORKFLOWS = f'{OF_APP},workflow_id!=""'
DURATION = "dify_workflow_duration_seconds"
TOKENS = "dify_tokens_total"
OF_TOKENS = f'{OF_WORKFLOWS},operation_type="workflow"'
SPAN = "[$__range]"
VERSION = "{{workflow_version}}"


def a_run(metric: str, labels: str, window: str, by: str = "workflow_id") -> str:
    """Ask for how much a run takes on average; by currency as well, where it is money."""
    runs = f"sum by (workflow_id) (rate({DURATION}_count{{{OF_WORKFLOWS}}}{window}))"
    grouped = "on (workflow_id) group_left () " if by != "workflow_id" else ""
    return f"sum by ({by}) (rate({metric}{{{labels}}}{window})) / {grouped}({runs} > 0)"


DASHBOARD = Dashboard(
    "dify-versions",
    "Dify: versions of an app",
    "应用版本对比",
    (
        Section(
            "Versions side by side",
            "版本对比",
            (
                Table(
                    "Versions that ran in the time chosen, newest first",
                    "所选时间内运行过的版本",
                    {
                        "workflow_id": "Workflow id · 工作流 ID",
                        "workflow_version": "Version · 版本",
                        "app_name": "App · 应用",
                        "currency": "Currency · 币种",
                    },
                    (
                        Column(
                            "Runs · 运行数",
                            "sum by (workflow_id)"
                            f" (increase({DURATION}_count{{{OF_WORKFLOWS}}}{SPAN})) > 0",
                        ),
                        Column(
                            "Failed · 失败率",
                            part(
                                "workflow_id",
                                "dify_requests_total",
                                OF_RUNS,
                                'status="failed"',
                                SPAN,
                            ),
                            "percentunit",
                            Limits(0.02, 0.1),
                        ),
                        Column(
                            "P95 · 耗时",
                            quantile(0.95, DURATION, OF_WORKFLOWS, "workflow_id", SPAN),
                            "s",
                            Limits(10, 30),
                        ),
                        Column("Tokens a run · 每次 Token 数", a_run(TOKENS, OF_TOKENS, SPAN)),
                        Column(
                            "Cost a run · 每次费用",
                            a_run(COST, OF_WORKFLOWS, SPAN, "workflow_id, currency"),
                        ),
                        Column(
                            "",
                            "max by (workflow_id, workflow_version, app_name)"
                            ' (dify:workflow:info{app_id=~"$app"})',
                        ),
                    ),
                    ("Version · 版本", True),
                ),
            ),
        ),
        Section(
            "Before and after",
            "发布前后",
            (
                Panel(
                    "Failures, part of all",
                    "失败率",
                    {
                        VERSION: versioned(
                            part("workflow_id", "dify_requests_total", OF_RUNS, 'status="failed"')
                        )
                    },
                    "percentunit",
                    limits=Limits(0.02, 0.1),
                    width=HALF,
                ),
                Panel(
                    "Duration of runs, 95 %",
                    "运行耗时 P95",
                    {VERSION: versioned(quantile(0.95, DURATION, OF_WORKFLOWS, "workflow_id"))},
                    "s",
                    width=HALF,
                ),
                Panel(
                    "Tokens a run",
                    "每次运行 Token 数",
                    {VERSION: versioned(a_run(TOKENS, OF_TOKENS, RATE))},
                    width=HALF,
                ),
                Panel(
                    "Cost a run",
                    "每次运行费用",
                    {
                        f"{VERSION} {{{{currency}}}}": versioned(
                            a_run(COST, OF_WORKFLOWS, RATE, "workflow_id, currency")
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Runs a minute",
                    "每分钟运行数",
                    {
                        VERSION: versioned(
                            f"60 * {rate('workflow_id', f'{DURATION}_count', OF_WORKFLOWS)}"
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Why they fail, a minute",
                    "每分钟失败原因",
                    {
                        f"{VERSION} {{{{error_category}}}}": versioned(
                            "60 * "
                            + rate("workflow_id, error_category", "dify_errors_total", OF_RUNS)
                        )
                    },
                    quiet=True,
                    width=HALF,
                ),
            ),
        ),
    ),
    (TENANT, APP),
    (DEPLOYED, CHANGED),
)
