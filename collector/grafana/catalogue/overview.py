"""The dashboard to begin with: is it up, which app is bad, where to look next."""

from __future__ import annotations

from collector.grafana.catalogue import apps, database, models, workers
from collector.grafana.catalogue.choices import DEPLOYED
from collector.grafana.panels import WHOLE, Column, Dashboard, Limits, Panel, Section, Table
from collector.grafana.queries import (
    COST,
    HTTP,
    TOKENS,
    a_minute,
    quantiles,
    rate,
    total,
)

SERVER_ERROR = 'http_response_status_code=~"5.."'
FIRING = 'ALERTS{alertstate="firing",alias_of=""}'
WAITING = 'ALERTS{alertstate="pending",alias_of=""}'

NOW = (
    Panel(
        "Is it up",
        "是否在线",
        {"{{job}}": 'up{job=~"dify-api|dify-health-check"}'},
        drawn="up",
        width=6,
        height=4,
    ),
    Panel(
        "Alerts firing",
        "告警",
        {"": f"count({FIRING}) or vector(0)"},
        drawn="stat",
        limits=Limits(1, 3),
        width=4,
        height=4,
    ),
    Panel(
        "Answered 5xx",
        "5xx 比例",
        {
            "": f"sum(rate({HTTP}_count{{{SERVER_ERROR}}}[5m]))"
            f" / sum(rate({HTTP}_count[5m])) or vector(0)"
        },
        "percentunit",
        "stat",
        limits=Limits(0.01, 0.05),
        width=4,
        height=4,
    ),
    Panel(
        "Failed runs",
        "失败率",
        {
            "": f'sum(rate(dify_requests_total{{{apps.ENDED},status="failed"}}[5m]))'
            f" / sum(rate(dify_requests_total{{{apps.ENDED}}}[5m])) or vector(0)"
        },
        "percentunit",
        "stat",
        limits=Limits(0.02, 0.1),
        opens="dify-apps",
        width=4,
        height=4,
    ),
    Panel(
        "Cost in 24 hours",
        "近 24 小时费用",
        {"{{currency}}": f"sum by (currency) (increase({COST}[1d]))"},
        drawn="stat",
        width=6,
        height=4,
    ),
    Table(
        "Which alerts",
        "告警列表",
        {
            "alertname": "Alert · 告警",
            "severity": "Severity · 级别",
            "alertstate": "State · 状态",
            "app_id": "App id · 应用 ID",
            "app_name": "App · 应用",
        },
        (
            Column(
                "Number · 数量",
                # What is no app's own leads to all of them.
                "sum by (alertname, severity, alertstate, app_id, app_name)"
                f' (label_replace({FIRING} or {WAITING}, "app_id", "All", "app_id", ""))',
            ),
        ),
        ("Severity · 级别", False),
        quiet=True,
    ),
    apps.worst(),
)

DASHBOARD = Dashboard(
    "dify-overview",
    "Dify: overview",
    "总览",
    (
        Section("Now", "当前", NOW),
        Section(
            "Symptoms",
            "症状",
            (
                Panel(
                    "Errors, part of all requests",
                    "错误率",
                    {
                        f"{digit}xx": total(
                            f"{HTTP}_count", f'http_response_status_code=~"{digit}.."'
                        )
                        + " / "
                        + total(f"{HTTP}_count")
                        for digit in (4, 5)
                    },
                    "percentunit",
                    opens="dify-logs",
                ),
                Panel("Duration of requests", "请求耗时", quantiles(HTTP), "s", opens="dify-logs"),
                Panel(
                    "Duration of requests, spread",
                    "请求耗时分布",
                    {"{{le}}": rate("le", f"{HTTP}_bucket")},
                    "s",
                    "heatmap",
                ),
                Panel(
                    "Runs a minute, by outcome",
                    "每分钟各结果运行数",
                    {"{{status}}": a_minute("status", "dify_workflow_duration_seconds_count")},
                    opens="dify-apps",
                ),
                Panel(
                    "Failed requests, runs and tasks a minute",
                    "每分钟失败数",
                    {"{{deployment_environment_name}}": "60 * dify:errors:rate5m"},
                    opens="dify-logs",
                ),
                Panel(
                    "Time to first token",
                    "首 Token 时间",
                    quantiles("dify_message_time_to_first_token_seconds"),
                    "s",
                    opens="dify-apps",
                ),
                Panel(
                    "Requests a second",
                    "每秒请求数",
                    width=WHOLE,
                    unit="reqps",
                    queries={
                        "{{http_request_method}} {{http_route}}": rate(
                            "http_request_method, http_route", f"{HTTP}_count"
                        )
                    },
                ),
            ),
        ),
        Section(
            "Causes",
            "原因",
            (
                models.failing(""),
                workers.WAITING,
                database.DURATION,
                Panel(
                    "Processors",
                    "处理器使用率",
                    {"{{host_name}}": "system_cpu_usage_percent"},
                    "percent",
                    limits=Limits(80, 95),
                ),
                Panel(
                    "Memory",
                    "内存使用率",
                    {"{{host_name}}": "system_memory_usage_percent"},
                    "percent",
                    limits=Limits(80, 95),
                ),
                Panel(
                    "Disks",
                    "磁盘使用率",
                    {"{{host_name}} {{path}}": "system_disk_usage_percent"},
                    "percent",
                    limits=Limits(80, 90),
                ),
            ),
        ),
        Section(
            "Use and cost",
            "用量与费用",
            (
                Panel(
                    "Cost an hour",
                    "每小时费用",
                    {"{{currency}}": f"3600 * {rate('currency', COST)}"},
                    opens="dify-models",
                ),
                Panel(
                    "Tokens a second",
                    "每秒 Token 数",
                    {"{{gen_ai_token_type}}": rate("gen_ai_token_type", TOKENS)},
                    opens="dify-models",
                ),
                Panel(
                    "Active users and conversations",
                    "活跃用户与会话",
                    {
                        "users": "sum(dify_active_sessions)",
                        "conversations": "sum(dify_active_conversations)",
                    },
                ),
            ),
        ),
    ),
    annotations=(DEPLOYED,),
)
