"""Telemetry's own health."""

from __future__ import annotations

from collector.grafana.panels import HALF, WHOLE, Dashboard, Limits, Panel, Section
from collector.grafana.queries import of_collector

FILLED = "otelcol_exporter_queue_size / otelcol_exporter_queue_capacity"
AGE = "max by (service_name, signal) (otel_dify_journal_age_seconds)"
REPORTING = 'count by (service_name) (target_info{service_namespace="dify"})'


def _sent(sort: str) -> str:
    return f'sum(rate(otel_sdk_exporter_{sort}_exported_total{{error_type=""}}[$__rate_interval]))'


def lost(title: str, chinese: str, query: str) -> Panel:
    """A number that has to be 0."""
    return Panel(
        title,
        chinese,
        {"": f"{query} or vector(0)"},
        drawn="stat",
        limits=Limits(1, 100),
        height=4,
    )


DASHBOARD = Dashboard(
    "dify-telemetry",
    "Dify: telemetry's own health",
    "遥测自身健康",
    (
        Section(
            "Can it be believed?",
            "数据是否可信",
            (
                Panel(
                    "Is it up",
                    "是否在线",
                    {"{{job}}": 'up{job=~"otel-collector|prometheus|jaeger|loki|alertmanager"}'},
                    drawn="up",
                    width=WHOLE,
                    height=4,
                ),
                lost(
                    "Lost in Dify's processes",
                    "Dify 进程中丢失的数据",
                    "sum(otel_dify_export_lost_total)",
                ),
                lost(
                    "Failures of otel_dify's hooks",
                    "otel_dify 钩子失败数",
                    "sum(otel_dify_hook_failures)",
                ),
                lost(
                    "Metrics with too many label values",
                    "标签值溢出的指标",
                    'count({otel_metric_overflow="true"})',
                ),
            ),
        ),
        Section(
            "Collector",
            "采集器",
            (
                Panel(
                    "Failed to send a second",
                    "每秒发送失败",
                    of_collector("otelcol_exporter_send_failed"),
                ),
                Panel(
                    "Refused a second",
                    "每秒拒绝",
                    of_collector("otelcol_receiver_refused"),
                ),
                Panel(
                    "Queues, part of their size",
                    "队列占用比例",
                    {"{{exporter}}": FILLED},
                    "percentunit",
                    limits=Limits(0.5, 0.8),
                ),
                Panel(
                    "Taken a second",
                    "每秒接收",
                    of_collector("otelcol_receiver_accepted"),
                ),
                Panel(
                    "Sent a second",
                    "每秒发送",
                    of_collector("otelcol_exporter_sent"),
                ),
                Panel(
                    "Memory of the Collector",
                    "Collector 内存",
                    {"{{instance}}": "otelcol_process_memory_rss"},
                    "bytes",
                ),
            ),
        ),
        Section(
            "Dify's side",
            "Dify 侧",
            (
                Panel(
                    "Sent by Dify's processes a second",
                    "Dify 进程每秒发送",
                    {
                        "spans": _sent("span"),
                        "log records": _sent("log"),
                    },
                ),
                Panel(
                    "Waiting in Dify's processes",
                    "Dify 进程中等待发送",
                    {
                        "spans": "sum(otel_sdk_processor_span_queue_size)",
                        "log records": "sum(otel_sdk_processor_log_queue_size)",
                    },
                ),
                Panel(
                    "Age of what waits longest",
                    "最长等待时间",
                    {"{{service_name}} {{signal}}": AGE},
                    "s",
                    limits=Limits(60, 300),
                ),
                Panel(
                    "Processes of Dify that report",
                    "上报的 Dify 进程",
                    {"{{service_name}}": REPORTING},
                    width=HALF,
                ),
                Panel(
                    "Series by metric",
                    "各指标序列数",
                    {"{{__name__}}": 'topk(10, count by (__name__) ({service_namespace="dify"}))'},
                    width=HALF,
                ),
            ),
        ),
    ),
)
