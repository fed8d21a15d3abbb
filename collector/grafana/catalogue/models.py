"""Models and their providers: errors, speed, tokens, price; and the daemons on the way."""

from __future__ import annotations

from collector.grafana.catalogue.choices import APP, MODEL, OF_APP, TENANT
from collector.grafana.panels import HALF, Dashboard, Limits, Panel, Section
from collector.grafana.queries import CALLS, COST, TOKENS, a_minute, named, part, quantile, rate

CALLED = f'{OF_APP},gen_ai_request_model=~"$model"'
WRITTEN = CALLED + ',gen_ai_token_type="output"'
FAILED = 'error_type!=""'
OUTSIDE = "http_client_request_duration_seconds"


def failing(labels: str) -> Panel:
    """Which provider fails."""
    return Panel(
        "Providers: calls that failed",
        "供应商调用失败率",
        {"{{dify_model_provider}}": part("dify_model_provider", f"{CALLS}_count", labels, FAILED)},
        "percentunit",
        limits=Limits(0.02, 0.1),
        opens="dify-models",
    )


DASHBOARD = Dashboard(
    "dify-models",
    "Dify: models and providers",
    "模型与供应商",
    (
        Section(
            "Wrong?",
            "是否出错",
            (
                failing(CALLED),
                Panel(
                    "Errors a minute",
                    "每分钟错误数",
                    {
                        "{{gen_ai_request_model}} {{error_type}}": a_minute(
                            "gen_ai_request_model, error_type",
                            f"{CALLS}_count",
                            f"{CALLED},{FAILED}",
                        )
                    },
                    quiet=True,
                    width=16,
                ),
            ),
        ),
        Section(
            "Slow?",
            "是否变慢",
            (
                Panel(
                    "Duration, 95 %",
                    "耗时 P95",
                    {
                        "{{gen_ai_request_model}}": quantile(
                            0.95, CALLS, CALLED, "gen_ai_request_model"
                        )
                    },
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
            ),
        ),
        Section(
            "Use and cost",
            "用量与费用",
            (
                Panel(
                    "Calls a minute",
                    "每分钟调用数",
                    {
                        "{{gen_ai_request_model}} {{gen_ai_operation_name}}": a_minute(
                            "gen_ai_request_model, gen_ai_operation_name", f"{CALLS}_count", CALLED
                        )
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
                    "What tokens are used for, a second",
                    "每秒 Token 用途",
                    {
                        "{{operation_type}} {{node_type}}": rate(
                            "node_type, operation_type", TOKENS, CALLED
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Cost an hour by app",
                    "各应用每小时费用",
                    {
                        "{{app_name}} {{currency}}": named(
                            "3600 * " + rate("app_id, currency", COST, CALLED)
                        )
                    },
                    width=HALF,
                ),
            ),
        ),
        Section(
            "On the way: plugin daemon, sandbox, tools",
            "途经 插件守护进程、沙箱、工具",
            (
                Panel(
                    "Calls a second",
                    "每秒调用数",
                    {
                        "{{server_address}}:{{server_port}} {{error_type}}": rate(
                            "server_address, server_port, error_type", f"{OUTSIDE}_count"
                        )
                    },
                    "ops",
                ),
                Panel(
                    "Duration of calls, 95 %",
                    "调用耗时 P95",
                    {"{{server_address}}": quantile(0.95, OUTSIDE, "", "server_address")},
                    "s",
                ),
                Panel(
                    "Duration of tools, 95 %",
                    "工具耗时 P95",
                    {
                        "{{tool_name}}": quantile(
                            0.95, "dify_tool_duration_seconds", OF_APP, "tool_name"
                        )
                    },
                    "s",
                ),
            ),
        ),
    ),
    (TENANT, APP, MODEL),
)
