"""Models and their providers: calls, errors, speed, tokens, price."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel, Variable
from collector.grafana.queries import CALLS, COST, TOKENS, quantile, rate

CALLED = 'gen_ai_request_model=~"$model"'
WRITTEN = CALLED + ',gen_ai_token_type="output"'
FAILED = 'error_type!=""'
MODEL = Variable("model", "Model · 模型", f"label_values({CALLS}_count, gen_ai_request_model)")
OUTSIDE = "http_client_request_duration_seconds"

DASHBOARD = Dashboard(
    "dify-models",
    "Dify: models and providers",
    "模型与供应商",
    (
        Panel(
            "Calls a second",
            "每秒调用数",
            {
                "{{gen_ai_operation_name}} {{gen_ai_request_model}}": rate(
                    "dify_model_provider, gen_ai_request_model, gen_ai_operation_name",
                    f"{CALLS}_count",
                    CALLED,
                )
            },
        ),
        Panel(
            "Errors a second",
            "每秒错误数",
            {
                "{{gen_ai_request_model}} {{error_type}}": rate(
                    "gen_ai_request_model, error_type", f"{CALLS}_count", CALLED + ',error_type!=""'
                )
            },
        ),
        Panel(
            "Errors by provider, part of all",
            "供应商错误率",
            {
                "{{dify_model_provider}}": rate("dify_model_provider", f"{CALLS}_count", FAILED)
                + " / "
                + rate("dify_model_provider", f"{CALLS}_count"),
            },
            "percentunit",
        ),
        Panel(
            "Duration, 95 %",
            "耗时 P95",
            {"{{gen_ai_request_model}}": quantile(0.95, CALLS, CALLED, "gen_ai_request_model")},
            "s",
        ),
        Panel(
            "Time to first chunk, 95 %",
            "首个数据块时间 P95",
            {
                "{{gen_ai_request_model}}": quantile(
                    0.95,
                    "gen_ai_client_operation_time_to_first_chunk_seconds",
                    CALLED,
                    "gen_ai_request_model",
                )
            },
            "s",
        ),
        Panel(
            "Output tokens a second of a call",
            "单次调用输出速度",
            {
                "{{gen_ai_request_model}}": rate("gen_ai_request_model", TOKENS, WRITTEN)
                + " / "
                + rate("gen_ai_request_model", f"{CALLS}_sum", CALLED),
            },
        ),
        Panel(
            "Tokens a second",
            "每秒 Token 数",
            {
                "{{gen_ai_request_model}} {{gen_ai_token_type}}": rate(
                    "gen_ai_request_model, gen_ai_token_type", TOKENS, CALLED
                )
            },
        ),
        Panel(
            "Cost an hour",
            "每小时费用",
            {
                "{{gen_ai_request_model}} {{currency}}": "3600 * "
                + rate("gen_ai_request_model, currency", COST, CALLED),
            },
        ),
        Panel(
            "What tokens are used for",
            "Token 用途",
            {"{{operation_type}} {{node_type}}": rate("node_type, operation_type", TOKENS, CALLED)},
        ),
        Panel(
            "Plugin daemon, sandbox and others: calls a second",
            "插件守护进程、沙箱等 每秒调用数",
            {
                "{{server_address}}:{{server_port}} {{error_type}}": rate(
                    "server_address, server_port, error_type",
                    "http_client_request_duration_seconds_count",
                )
            },
        ),
        Panel(
            "Plugin daemon, sandbox and others: duration, 95 %",
            "插件守护进程、沙箱等 耗时 P95",
            {
                "{{server_address}}": quantile(
                    0.95, "http_client_request_duration_seconds", "", "server_address"
                )
            },
            "s",
        ),
        Panel(
            "Duration of tools, 95 %",
            "工具耗时 P95",
            {"{{tool_name}}": quantile(0.95, "dify_tool_duration_seconds", "", "tool_name")},
            "s",
        ),
    ),
    (MODEL,),
)
