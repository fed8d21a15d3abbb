"""Apps: which one is wrong, slow or expensive, and why."""

from __future__ import annotations

from collector.grafana.catalogue.choices import (
    APP,
    CHANGED,
    DEPLOYED,
    LOGGED_OF_APP,
    OF_APP,
    TENANT,
)
from collector.grafana.catalogue.run import runs
from collector.grafana.panels import HALF, Column, Dashboard, Limits, Panel, Section, Table
from collector.grafana.queries import COST, TOKENS, a_minute, daily, named, part, quantile, rate

ENDED = 'type=~"workflow|message"'
OF_RUNS = f"{OF_APP},{ENDED}"
HOUR = "[1h]"


def worst(labels: str = "", known: str = "") -> Table:
    """A line for every app that ran in the last hour: the table to begin with.

    One that pays in two currencies has a second line, with that cost.

    Args:
        labels: PromQL's matchers of the apps chosen.
        known: the same for `dify:app:info`, which knows no workspace of some.
    """
    ran = ",".join(filter(None, (labels, ENDED)))
    took = f'{{__name__=~"dify_(workflow|message)_duration_seconds_bucket",{labels}}}'
    return Table(
        "Apps in the last hour, most failures first",
        "近 1 小时各应用 按失败率",
        {
            "app_id": "App id · 应用 ID",
            "app_name": "Name · 名称",
            "currency": "Currency · 币种",
        },
        (
            Column(
                "Failed · 失败率",
                part("app_id", "dify_requests_total", ran, 'status="failed"', HOUR),
                "percentunit",
                Limits(0.02, 0.1),
            ),
            Column(
                "Runs · 运行数", f"sum by (app_id) (increase(dify_requests_total{{{ran}}}{HOUR}))"
            ),
            Column(
                "P95 · 耗时",
                f"histogram_quantile(0.95, sum by (le, app_id) (rate({took}{HOUR})))",
                "s",
                Limits(10, 30),
            ),
            Column("Tokens · Token 数", f"sum by (app_id) (increase({TOKENS}{{{labels}}}{HOUR}))"),
            Column(
                "Cost · 费用", f"sum by (app_id, currency) (increase({COST}{{{labels}}}{HOUR}))"
            ),
            Column("", f"max by (app_id, app_name) (dify:app:info{{{known}}})"),
        ),
        ("Failed · 失败率", True),
        opens="dify-apps",
    )


DASHBOARD = Dashboard(
    "dify-apps",
    "Dify: apps",
    "应用",
    (
        Section("Which app", "哪个应用", (worst(OF_APP, 'app_id=~"$app"'),)),
        Section(
            "Wrong?",
            "是否出错",
            (
                Panel(
                    "Failures, part of all",
                    "失败率",
                    {
                        "{{app_name}}": named(
                            part("app_id", "dify_requests_total", OF_RUNS, 'status="failed"')
                        )
                    },
                    "percentunit",
                    limits=Limits(0.02, 0.1),
                    width=HALF,
                ),
                Panel(
                    "Why they fail, a minute",
                    "每分钟失败原因",
                    {
                        "{{error_category}} {{app_name}}": named(
                            a_minute("app_id, error_category", "dify_errors_total", OF_RUNS)
                        )
                    },
                    quiet=True,
                    width=HALF,
                ),
                Panel(
                    "Failed nodes a minute",
                    "每分钟失败节点数",
                    {
                        "{{node_type}} {{error_category}}": a_minute(
                            "node_type, error_category",
                            "dify_errors_total",
                            f'{OF_APP},type="node"',
                        )
                    },
                    quiet=True,
                    width=HALF,
                ),
                Panel(
                    "Retries of nodes a minute",
                    "每分钟节点重试数",
                    {"{{node_type}}": a_minute("node_type", "dify_node_retries_total", OF_APP)},
                    quiet=True,
                    width=HALF,
                ),
            ),
        ),
        Section(
            "Slow?",
            "是否变慢",
            (
                Panel(
                    "Duration of runs, 95 %",
                    "运行耗时 P95",
                    {
                        "{{app_name}}": named(
                            quantile(0.95, "dify_workflow_duration_seconds", OF_APP, "app_id")
                        )
                    },
                    "s",
                    limits=Limits(10, 30),
                ),
                Panel(
                    "Duration of messages, 95 %",
                    "消息耗时 P95",
                    {
                        "{{app_name}}": named(
                            quantile(0.95, "dify_message_duration_seconds", OF_APP, "app_id")
                        )
                    },
                    "s",
                    limits=Limits(10, 30),
                ),
                Panel(
                    "Time to first token, 95 %",
                    "首 Token 时间 P95",
                    {
                        "{{app_name}}": named(
                            quantile(
                                0.95, "dify_message_time_to_first_token_seconds", OF_APP, "app_id"
                            )
                        )
                    },
                    "s",
                ),
                Panel(
                    "Slower than the objective of 30 s",
                    "超过 30 秒目标的比例",
                    {
                        "{{app_name}}": named(
                            'dify:slo:latency:error_ratio{app_id=~"$app",window="1h"}'
                        )
                    },
                    "percentunit",
                    width=HALF,
                ),
                Panel(
                    "Duration of nodes, 95 %",
                    "节点耗时 P95",
                    {
                        "{{node_type}}": quantile(
                            0.95, "dify_node_duration_seconds", OF_APP, "node_type"
                        )
                    },
                    "s",
                    width=HALF,
                ),
            ),
        ),
        Section("Its runs", "运行", (runs(LOGGED_OF_APP),)),
        Section(
            "Expensive?",
            "是否昂贵",
            (
                Panel(
                    "Cost in 24 hours",
                    "近 24 小时费用",
                    {"{{app_name}} {{currency}}": named(daily("app_id, currency", COST, OF_APP))},
                    width=HALF,
                ),
                Panel(
                    "Cost an hour",
                    "每小时费用",
                    {
                        "{{app_name}} {{currency}}": named(
                            "3600 * " + rate("app_id, currency", COST, OF_APP)
                        )
                    },
                    width=HALF,
                ),
            ),
        ),
        Section(
            "Use",
            "使用情况",
            (
                Panel(
                    "Runs and messages a minute",
                    "每分钟运行与消息数",
                    {
                        "{{app_name}} {{type}} {{status}}": named(
                            a_minute("app_id, type, status", "dify_requests_total", OF_RUNS)
                        ),
                    },
                    width=HALF,
                ),
                Panel(
                    "Tokens a second",
                    "每秒 Token 数",
                    {
                        "{{app_name}} {{gen_ai_token_type}}": named(
                            rate("app_id, gen_ai_token_type", TOKENS, OF_APP)
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Active conversations",
                    "活跃会话",
                    {
                        "{{app_name}}": named(
                            'sum by (app_id) (dify_active_conversations{app_id=~"$app"})'
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Feedback in 24 hours",
                    "近 24 小时用户反馈",
                    {
                        "{{app_name}} {{rating}}": named(
                            daily("app_id, rating", "dify_feedback_total", OF_APP)
                        )
                    },
                    width=HALF,
                ),
            ),
        ),
    ),
    (TENANT, APP),
    (DEPLOYED, CHANGED),
)
