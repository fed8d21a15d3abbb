"""Database, Redis and files."""

from __future__ import annotations

from collector.grafana.panels import HALF, Dashboard, Limits, Panel, Section
from collector.grafana.queries import DB, a_minute, quantile, rate

BY = "db_system_name"
CONNECTIONS = "sum by (service_name) (dify_database_connections"

DURATION = Panel(
    "Database and Redis, 95 %",
    "数据库与 Redis 耗时 P95",
    {"{{db_system_name}}": quantile(0.95, DB, "", BY)},
    "s",
    opens="dify-database",
)

DASHBOARD = Dashboard(
    "dify-database",
    "Dify: database and cache",
    "数据库与缓存",
    (
        Section(
            "Wrong or slow?",
            "是否出错或变慢",
            (
                Panel(
                    "Errors a minute",
                    "每分钟错误数",
                    {
                        "{{db_system_name}} {{error_type}}": a_minute(
                            "db_system_name, error_type", f"{DB}_count", 'error_type!=""'
                        )
                    },
                    quiet=True,
                ),
                DURATION,
                Panel(
                    "Duration, mean",
                    "平均耗时",
                    {"{{db_system_name}}": rate(BY, f"{DB}_sum") + " / " + rate(BY, f"{DB}_count")},
                    "s",
                ),
            ),
        ),
        Section(
            "Why",
            "原因",
            (
                Panel(
                    "Connections in use, part of all",
                    "连接使用率",
                    {"{{service_name}}": f"{CONNECTIONS}_active) / {CONNECTIONS}_max)"},
                    "percentunit",
                    limits=Limits(0.7, 0.9),
                ),
                Panel(
                    "Waiting for a connection, 95 %",
                    "等待连接 P95",
                    {
                        "{{service_name}}": quantile(
                            0.95, "db_client_connection_wait_time_seconds", "", "service_name"
                        )
                    },
                    "s",
                ),
                Panel(
                    "Slow queries a minute, over 0.5 s",
                    "每分钟慢查询",
                    {"{{db_system_name}}": "60 * dify:slow_queries:rate1h"},
                ),
                Panel(
                    "Queries a second",
                    "每秒查询数",
                    {
                        "{{db_system_name}} {{db_operation_name}}": rate(
                            "db_system_name, db_operation_name", f"{DB}_count"
                        )
                    },
                    "ops",
                    width=HALF,
                ),
                Panel(
                    "Files: duration, 95 %",
                    "文件存取耗时 P95",
                    {
                        "{{operation}}": quantile(
                            0.95, "dify_storage_duration_seconds", "", "operation"
                        )
                    },
                    "s",
                    width=HALF,
                ),
            ),
        ),
    ),
)
