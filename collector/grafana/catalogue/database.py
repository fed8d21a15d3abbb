"""Database, Redis and files."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel
from collector.grafana.queries import DB, quantile, rate

BY = "db_system_name"
OF_SERVICE = "sum by (service_name)"

DASHBOARD = Dashboard(
    "dify-database",
    "Dify: database and cache",
    "数据库与缓存",
    (
        Panel(
            "Queries a second",
            "每秒查询数",
            {
                "{{db_system_name}} {{db_operation_name}}": rate(
                    "db_system_name, db_operation_name", f"{DB}_count"
                )
            },
        ),
        Panel(
            "Duration, 95 %",
            "耗时 P95",
            {"{{db_system_name}}": quantile(0.95, DB, "", "db_system_name")},
            "s",
        ),
        Panel(
            "Duration, mean",
            "平均耗时",
            {
                "{{db_system_name}}": rate(BY, f"{DB}_sum") + " / " + rate(BY, f"{DB}_count"),
            },
            "s",
        ),
        Panel(
            "Errors a second",
            "每秒错误数",
            {
                "{{db_system_name}} {{error_type}}": rate(
                    "db_system_name, error_type", f"{DB}_count", 'error_type!=""'
                )
            },
        ),
        Panel(
            "Queries slower than half a second",
            "慢查询 超过 0.5 秒",
            {"{{db_system_name}}": "dify:slow_queries:rate1h"},
        ),
        Panel(
            "Connections in use",
            "使用中的连接",
            {
                "{{service_name}} in use": f"{OF_SERVICE} (dify_database_connections_active)",
                "{{service_name}} at most": f"{OF_SERVICE} (dify_database_connections_max)",
            },
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
            "Files: duration, 95 %",
            "文件存取耗时 P95",
            {"{{operation}}": quantile(0.95, "dify_storage_duration_seconds", "", "operation")},
            "s",
        ),
    ),
)
