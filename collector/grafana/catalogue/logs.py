"""Logs: which errors, how often, and who asked for what."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel
from collector.grafana.queries import ANSWERED, LOGS, counted

FAILED = f'{LOGS} | error_type!=""'
SAME = counted("dify_error_fingerprint, dify_error_message", FAILED)
BY_ROUTE = counted("http_request_method, http_route", ANSWERED)
DURATIONS = f"{ANSWERED} | unwrap dify_elapsed_time [$__auto]"
SLOWEST = f"quantile_over_time(0.95, {DURATIONS}) by (http_route)"

DASHBOARD = Dashboard(
    "dify-logs",
    "Dify: logs, errors and access",
    "日志、错误与访问",
    (
        Panel(
            "Records by level",
            "各级别日志数",
            {"{{severity_text}}": f"sum by (severity_text) (count_over_time({LOGS} [$__auto]))"},
            source="loki",
        ),
        Panel(
            "Errors by type",
            "错误类型",
            {
                "{{error_type}}": counted("error_type", FAILED),
            },
            source="loki",
        ),
        Panel(
            "The same error again",
            "重复错误",
            {
                "{{dify_error_message}}": f"topk(10, {SAME})",
            },
            source="loki",
        ),
        Panel(
            "Answers by status",
            "按状态码的响应",
            {
                "{{http_response_status_code}}": counted("http_response_status_code", ANSWERED),
            },
            source="loki",
        ),
        Panel(
            "Answers by route",
            "按路由的响应",
            {
                "{{http_request_method}} {{http_route}}": f"topk(10, {BY_ROUTE})",
            },
            source="loki",
        ),
        Panel(
            "Duration by route, 95 %",
            "各路由耗时 P95",
            {"{{http_route}}": SLOWEST},
            "s",
            source="loki",
        ),
        Panel(
            "Recent errors",
            "最近的错误",
            {"": LOGS + ' | error_type!=""'},
            drawn="logs",
            source="loki",
        ),
        Panel("Access", "访问日志", {"": ANSWERED}, drawn="logs", source="loki"),
    ),
)
