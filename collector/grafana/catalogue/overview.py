"""The dashboard to begin with: is it up, fast, right, and what does it cost."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel
from collector.grafana.queries import COST, HTTP, TOKENS, quantiles, rate, total

DASHBOARD = Dashboard(
    "dify-overview",
    "Dify: overview",
    "总览",
    (
        Panel(
            "Is it up",
            "是否在线",
            {"{{job}}": 'up{job=~"dify-api|dify-health-check"}'},
            drawn="stat",
        ),
        Panel(
            "Alerts firing",
            "正在触发的告警",
            {"": 'count(ALERTS{alertstate="firing",alias_of=""}) or vector(0)'},
            drawn="stat",
        ),
        Panel(
            "Cost in the last 24 hours",
            "近 24 小时费用",
            {"{{currency}}": "sum by (currency) (increase(dify_model_cost_total[1d]))"},
            drawn="stat",
        ),
        Panel(
            "Requests a second",
            "每秒请求数",
            {
                "{{http_request_method}} {{http_route}}": rate(
                    "http_request_method, http_route", f"{HTTP}_count"
                )
            },
            "reqps",
        ),
        Panel(
            "Errors, part of all requests",
            "错误率",
            {
                f"{digit}xx": total(f"{HTTP}_count", f'http_response_status_code=~"{digit}.."')
                + " / "
                + total(f"{HTTP}_count")
                for digit in (4, 5)
            },
            "percentunit",
        ),
        Panel("Duration of requests", "请求耗时", quantiles(HTTP), "s"),
        Panel(
            "Duration of requests, spread",
            "请求耗时分布",
            {"{{le}}": rate("le", f"{HTTP}_bucket")},
            drawn="heatmap",
        ),
        Panel(
            "Runs a minute, by outcome",
            "每分钟各结果运行数",
            {"{{status}}": f"60 * {rate('status', 'dify_workflow_duration_seconds_count')}"},
        ),
        Panel(
            "Failed requests, runs and tasks a second",
            "每秒失败数",
            {"{{deployment_environment_name}}": "dify:errors:rate5m"},
        ),
        Panel(
            "Tokens a second",
            "每秒 Token 数",
            {"{{gen_ai_token_type}}": rate("gen_ai_token_type", TOKENS)},
        ),
        Panel("Cost an hour", "每小时费用", {"{{currency}}": f"3600 * {rate('currency', COST)}"}),
        Panel(
            "Active users and conversations",
            "活跃用户与会话",
            {
                "users": "sum(dify_active_sessions)",
                "conversations": "sum(dify_active_conversations)",
            },
        ),
        Panel(
            "Processors", "处理器使用率", {"{{host_name}}": "system_cpu_usage_percent"}, "percent"
        ),
        Panel("Memory", "内存使用率", {"{{host_name}}": "system_memory_usage_percent"}, "percent"),
        Panel(
            "Disks",
            "磁盘使用率",
            {"{{host_name}} {{path}}": "system_disk_usage_percent"},
            "percent",
        ),
    ),
)
