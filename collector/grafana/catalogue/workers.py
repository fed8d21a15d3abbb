"""Workers and queues."""

from __future__ import annotations

from collector.grafana.panels import Dashboard, Panel
from collector.grafana.queries import quantile, rate

DASHBOARD = Dashboard(
    "dify-workers",
    "Dify: workers and queues",
    "工作进程与队列",
    (
        Panel(
            "Tasks waiting",
            "排队任务数",
            {"{{queue_name}}": "max by (queue_name) (dify_task_queue_size)"},
        ),
        Panel(
            "Time in the queue, 95 %",
            "排队时间 P95",
            {
                "{{messaging_destination_name}}": quantile(
                    0.95, "dify_task_queue_wait_seconds", "", "messaging_destination_name"
                )
            },
            "s",
        ),
        Panel(
            "Tasks sent and done a second",
            "每秒发送与完成任务数",
            {
                "sent": "sum(rate(messaging_client_sent_messages_total[$__rate_interval]))",
                "done": "sum(rate(messaging_process_duration_seconds_count[$__rate_interval]))",
            },
        ),
        Panel(
            "Tasks a second",
            "每秒任务数",
            {
                "{{celery_task_name}} {{celery_state}}": rate(
                    "celery_task_name, celery_state", "messaging_process_duration_seconds_count"
                )
            },
        ),
        Panel(
            "Failed tasks a second",
            "每秒失败任务数",
            {
                "{{celery_task_name}} {{error_type}}": rate(
                    "celery_task_name, error_type",
                    "messaging_process_duration_seconds_count",
                    'error_type!=""',
                )
            },
        ),
        Panel(
            "Duration of tasks, 95 %",
            "任务耗时 P95",
            {
                "{{celery_task_name}}": quantile(
                    0.95, "messaging_process_duration_seconds", "", "celery_task_name"
                )
            },
            "s",
        ),
        Panel(
            "Runs started outside",
            "外部触发",
            {"{{trigger}}": rate("trigger", "dify_trigger_total")},
        ),
        Panel(
            "Mails sent",
            "已发送邮件",
            {"{{error_type}}": rate("error_type", "dify_mail_sent_total")},
        ),
    ),
)
