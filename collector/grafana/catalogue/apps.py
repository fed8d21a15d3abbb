"""Apps: how often they run, fail, how long they take, what they cost."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel, Variable
from collector.grafana.queries import COST, TOKENS, daily, quantile, rate

OF_APP = 'app_id=~"$app"'
OF_RUNS = OF_APP + ',type=~"workflow|message"'
APP = Variable("app", "App · 应用", "label_values(dify_requests_total, app_id)")

DASHBOARD = Dashboard(
    "dify-apps",
    "Dify: apps",
    "应用",
    (
        Panel(
            "Runs and messages a minute",
            "每分钟运行与消息数",
            {
                "{{app_id}} {{type}} {{status}}": "60 * "
                + rate("app_id, type, status", "dify_requests_total", OF_RUNS),
            },
        ),
        Panel(
            "Failures, part of all",
            "失败率",
            {"{{app_id}}": 'dify:slo:availability:error_ratio{app_id=~"$app",window="5m"}'},
            "percentunit",
        ),
        Panel(
            "Why they fail",
            "失败原因",
            {
                "{{app_id}} {{error_category}}": rate(
                    "app_id, error_category", "dify_errors_total", OF_RUNS
                )
            },
        ),
        Panel(
            "Duration of runs, 95 %",
            "运行耗时 P95",
            {"{{app_id}}": quantile(0.95, "dify_workflow_duration_seconds", OF_APP, "app_id")},
            "s",
        ),
        Panel(
            "Duration of messages, 95 %",
            "消息耗时 P95",
            {"{{app_id}}": quantile(0.95, "dify_message_duration_seconds", OF_APP, "app_id")},
            "s",
        ),
        Panel(
            "Time to first token, 95 %",
            "首 Token 时间 P95",
            {
                "{{app_id}}": quantile(
                    0.95, "dify_message_time_to_first_token_seconds", OF_APP, "app_id"
                )
            },
            "s",
        ),
        Panel(
            "Slower than the objective of 30 s",
            "超过 30 秒目标的比例",
            {"{{app_id}}": 'dify:slo:latency:error_ratio{app_id=~"$app",window="1h"}'},
            "percentunit",
        ),
        Panel(
            "Cost in 24 hours",
            "近 24 小时费用",
            {
                "{{app_id}} {{currency}}": daily("app_id, currency", COST, OF_APP),
            },
        ),
        Panel(
            "Tokens a second",
            "每秒 Token 数",
            {"{{app_id}} {{gen_ai_token_type}}": rate("app_id, gen_ai_token_type", TOKENS, OF_APP)},
        ),
        Panel(
            "Duration of nodes, 95 %",
            "节点耗时 P95",
            {"{{node_type}}": quantile(0.95, "dify_node_duration_seconds", OF_APP, "node_type")},
            "s",
        ),
        Panel(
            "Active conversations",
            "活跃会话",
            {"{{app_id}}": f"sum by (app_id) (dify_active_conversations{{{OF_APP}}})"},
        ),
        Panel(
            "Feedback",
            "用户反馈",
            {
                "{{app_id}} {{rating}}": daily("app_id, rating", "dify_feedback_total", OF_APP),
            },
        ),
    ),
    (APP,),
)
