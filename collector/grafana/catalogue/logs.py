"""Logs: which errors, how often, and who asked for what."""

from __future__ import annotations

from collector.grafana.catalogue.choices import WORDS
from collector.grafana.panels import WHOLE, Dashboard, Panel, Section
from collector.grafana.queries import ANSWERED, LOGS, counted

FAILED = f'{LOGS} | error_type!=""'
# Without numbers and ids a message is the same again, and there are few.
BARE = '{{ regexReplaceAll "[0-9a-fA-F-]{8,}|[0-9]{4,}" .dify_error_message "#" | trunc 160 }}'
SAME = counted("message", f"{FAILED} | label_format message=`{BARE}`")
BY_ROUTE = counted("http_request_method, http_route", f'{ANSWERED} | http_route!=""')
DURATIONS = f'{ANSWERED} | http_route!="" | unwrap dify_elapsed_time [$__interval]'
SLOWEST = f"quantile_over_time(0.95, {DURATIONS}) by (http_route)"
SOUGHT = '{service_name=~"dify-.+"} |~ "(?i)$words"'

DASHBOARD = Dashboard(
    "dify-logs",
    "Dify: logs, errors and access",
    "日志、错误与访问",
    (
        Section(
            "Errors",
            "错误",
            (
                Panel(
                    "Errors by type",
                    "错误类型",
                    {"{{error_type}}": counted("error_type", FAILED)},
                    drawn="bars",
                    source="loki",
                    quiet=True,
                ),
                Panel(
                    "The same error again",
                    "重复错误",
                    {"{{message}}": f"topk(10, {SAME})"},
                    drawn="bars",
                    source="loki",
                    quiet=True,
                    width=16,
                ),
                Panel(
                    "Recent errors",
                    "最近的错误",
                    {"": SOUGHT + ' | error_type!=""'},
                    drawn="logs",
                    source="loki",
                    quiet=True,
                    width=WHOLE,
                    height=10,
                ),
            ),
        ),
        Section(
            "Access",
            "访问",
            (
                Panel(
                    "Answers by status",
                    "按状态码的响应",
                    {
                        "{{http_response_status_code}}": counted(
                            "http_response_status_code", ANSWERED
                        )
                    },
                    drawn="bars",
                    source="loki",
                ),
                Panel(
                    "Answers by route",
                    "按路由的响应",
                    {"{{http_request_method}} {{http_route}}": f"topk(10, {BY_ROUTE})"},
                    drawn="bars",
                    source="loki",
                    width=16,
                ),
                Panel(
                    "Duration by route, 95 %",
                    "各路由耗时 P95",
                    {"{{http_route}}": SLOWEST},
                    "s",
                    source="loki",
                    width=WHOLE,
                ),
                Panel(
                    "Access",
                    "访问日志",
                    {"": f'{SOUGHT} | dify_event_name="dify.http.request"'},
                    drawn="logs",
                    source="loki",
                    width=WHOLE,
                    height=10,
                ),
            ),
        ),
        Section(
            "All",
            "全部",
            (
                Panel(
                    "Records by level",
                    "各级别日志数",
                    {"{{severity_text}}": counted("severity_text", LOGS)},
                    drawn="bars",
                    source="loki",
                    height=10,
                ),
                Panel(
                    "Records with these words",
                    "包含该文本的日志",
                    {"": SOUGHT},
                    drawn="logs",
                    source="loki",
                    width=16,
                    height=10,
                ),
            ),
        ),
    ),
    (WORDS,),
)
