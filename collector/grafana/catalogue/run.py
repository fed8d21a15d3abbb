"""One run, found by its id: all that was logged of it."""

from __future__ import annotations

from collector.grafana.catalogue.choices import RUN
from collector.grafana.panels import WHOLE, Dashboard, Limits, Listing, Panel, Section
from collector.grafana.queries import LOGS

OF_RUN = ' | dify_workflow_run_id=~"$run"'
LOGGED = LOGS + OF_RUN


def records(title: str, chinese: str, chosen: str, *, height: int, quiet: bool = False) -> Panel:
    """Log records over the whole width."""
    return Panel(
        title,
        chinese,
        {"": chosen},
        drawn="logs",
        source="loki",
        width=WHOLE,
        height=height,
        quiet=quiet,
    )


def runs(chosen: str) -> Listing:
    """List the newest runs; `chosen` is what LogQL has after `|`."""
    return Listing(
        "The newest runs, the longest first, with their traces",
        "最新的运行及其链路 按耗时",
        f'{LOGS}{chosen} | dify_event_name="dify.workflow.run"',
        {
            "dify_elapsed_time": "Duration · 耗时",
            "dify_workflow_status": "Status · 状态",
            "dify_app_name": "App · 应用",
            "error_type": "Error · 错误",
            "dify_usage_total_tokens": "Tokens · Token 数",
            "dify_workflow_run_id": "Run id · 运行 ID",
            "trace_id": "Trace · 链路",
        },
        {"dify_elapsed_time": ("s", Limits(10, 30)), "dify_usage_total_tokens": ("short", None)},
        ("Duration · 耗时", True),
    )


DASHBOARD = Dashboard(
    "dify-run",
    "Dify: one run",
    "单次运行",
    (
        Section("Which run", "哪次运行", (runs(OF_RUN),)),
        Section(
            "What happened in it",
            "运行过程",
            (
                records("What failed", "失败", LOGGED + ' | error_type!=""', height=6, quiet=True),
                records(
                    "Its nodes",
                    "节点",
                    LOGGED + ' | dify_event_name="dify.node.execution"',
                    height=8,
                ),
                records(
                    "Its model calls",
                    "模型调用",
                    LOGGED + ' | dify_event_name="gen_ai.client.inference.operation.details"',
                    height=8,
                    quiet=True,
                ),
                records("All of its log", "全部日志", LOGGED, height=10),
            ),
        ),
    ),
    (RUN,),
)
