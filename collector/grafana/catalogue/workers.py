"""Workers and queues."""

from __future__ import annotations

from dataclasses import replace

from collector.grafana.catalogue.choices import QUEUE
from collector.grafana.panels import HALF, Dashboard, Panel, Section
from collector.grafana.queries import a_minute, quantile, total

DONE = "messaging_process_duration_seconds"
FAILED = 'error_type!=""'
OF_QUEUE = 'messaging_destination_name=~"$queue"'

WAITING = Panel(
    "Tasks waiting",
    "排队任务数",
    {"{{queue_name}}": "max by (queue_name) (dify_task_queue_size)"},
    opens="dify-workers",
)

DASHBOARD = Dashboard(
    "dify-workers",
    "Dify: workers and queues",
    "工作进程与队列",
    (
        Section(
            "Wrong or late?",
            "是否出错或延迟",
            (
                Panel(
                    "Failed tasks a minute",
                    "每分钟失败任务数",
                    {
                        "{{celery_task_name}} {{error_type}}": a_minute(
                            "celery_task_name, error_type",
                            f"{DONE}_count",
                            f"{OF_QUEUE},{FAILED}",
                        )
                    },
                    quiet=True,
                    width=HALF,
                ),
                replace(WAITING, width=HALF),
                Panel(
                    "Time in the queue, 95 %",
                    "排队时间 P95",
                    {
                        "{{messaging_destination_name}}": quantile(
                            0.95,
                            "dify_task_queue_wait_seconds",
                            OF_QUEUE,
                            "messaging_destination_name",
                        )
                    },
                    "s",
                    width=HALF,
                ),
                Panel(
                    "Duration of tasks, 95 %",
                    "任务耗时 P95",
                    {"{{celery_task_name}}": quantile(0.95, DONE, OF_QUEUE, "celery_task_name")},
                    "s",
                    width=HALF,
                ),
            ),
        ),
        Section(
            "Why",
            "原因",
            (
                Panel(
                    "Tasks sent and done a second",
                    "每秒发送与完成任务数",
                    {
                        "sent": "sum(rate(messaging_client_sent_messages_total[$__rate_interval]))",
                        "done": f"sum(rate({DONE}_count[$__rate_interval]))",
                    },
                    "ops",
                    width=HALF,
                ),
                Panel(
                    "Tasks a minute",
                    "每分钟任务数",
                    {
                        "{{celery_task_name}} {{celery_state}}": a_minute(
                            "celery_task_name, celery_state", f"{DONE}_count", OF_QUEUE
                        )
                    },
                    width=HALF,
                ),
                Panel(
                    "Processes",
                    "进程数",
                    {"{{service_name}}": "count by (service_name) (dify_workers)"},
                    width=HALF,
                ),
                Panel(
                    "Runs started outside, a minute",
                    "每分钟外部触发",
                    {"{{trigger}}": a_minute("trigger", "dify_trigger_total")},
                    width=HALF,
                ),
                Panel(
                    "Mails a minute",
                    "每分钟邮件数",
                    {
                        "all": f"60 * {total('dify_mail_sent_total')}",
                        "failed": f"60 * {total('dify_mail_sent_total', FAILED)} or vector(0)",
                    },
                    width=HALF,
                ),
            ),
        ),
    ),
    (QUEUE,),
)
