"""Telemetry's own health."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel
from collector.grafana.queries import of_collector

DASHBOARD = Dashboard(
    "dify-telemetry",
    "Dify: telemetry's own health",
    "遥测自身健康",
    (
        Panel(
            "Is it up",
            "是否在线",
            {"{{job}}": 'up{job=~"otel-collector|prometheus|jaeger|loki|alertmanager"}'},
            drawn="stat",
        ),
        Panel(
            "Lost in Dify's processes",
            "Dify 进程中丢失的数据",
            {"items": "sum(otel_dify_export_lost) or vector(0)"},
            drawn="stat",
        ),
        Panel(
            "Failures of otel_dify's hooks",
            "otel_dify 钩子失败数",
            {"failures": "sum(otel_dify_hook_failures) or vector(0)"},
            drawn="stat",
        ),
        Panel(
            "Taken by the Collector a second",
            "Collector 每秒接收",
            of_collector("otelcol_receiver_accepted"),
        ),
        Panel(
            "Refused by the Collector a second",
            "Collector 每秒拒绝",
            of_collector("otelcol_receiver_refused"),
        ),
        Panel(
            "Sent by the Collector a second",
            "Collector 每秒发送",
            of_collector("otelcol_exporter_sent"),
        ),
        Panel(
            "Failed to send a second", "每秒发送失败", of_collector("otelcol_exporter_send_failed")
        ),
        Panel(
            "Queues, part of their size",
            "队列占用比例",
            {"{{exporter}}": "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity"},
            "percentunit",
        ),
        Panel(
            "Memory of the Collector",
            "Collector 内存",
            {"{{instance}}": "otelcol_process_memory_rss"},
            "bytes",
        ),
        Panel(
            "Series by metric",
            "各指标序列数",
            {"{{__name__}}": 'topk(10, count by (__name__) ({service_namespace="dify"}))'},
        ),
        Panel(
            "Metrics with too many label values",
            "标签值溢出的指标",
            {"metrics": 'count({otel_metric_overflow="true"}) or vector(0)'},
            drawn="stat",
        ),
        Panel(
            "Processes of Dify that report",
            "上报的 Dify 进程",
            {"{{service_name}}": 'count by (service_name) (target_info{service_namespace="dify"})'},
        ),
    ),
)
