"""For every alert, what makes it fire; before and after, what must not."""

from __future__ import annotations

from dataclasses import dataclass

from tests.rules.series import Phases, Series, counter, gauge

MINUTES = Phases()


@dataclass(frozen=True)
class Case:
    """What an alert is tested with.

    Attributes:
        series: what Prometheus has.
        phases: how long it is good, bad, and good again.
        firing: how many alerts fire at the end of what is bad.
    """

    series: tuple[Series, ...]
    phases: Phases = MINUTES
    firing: int = 1


def requests(status: int, good: float, bad: float, error: str = "") -> Series:
    """Count answers a minute."""
    labels = f'http_request_method="POST",http_route="/v1/x",http_response_status_code="{status}"'
    failed = f',error_type="{error}"' if error else ""
    name = "http_server_request_duration_seconds_count"
    return counter(f'{name}{{service_name="dify-api",{labels}{failed}}}', good, bad)


def latency(name: str, labels: str, slow: float, good: float, bad: float) -> tuple[Series, ...]:
    """Count ten events a minute, of which so many are slower than a bucket's bound."""
    return (
        counter(f'{name}_bucket{{{labels},le="{slow:g}"}}', 10 - good, 10 - bad),
        counter(f'{name}_bucket{{{labels},le="{slow * 10:g}"}}', 10, 10),
        counter(f'{name}_bucket{{{labels},le="+Inf"}}', 10, 10),
    )


def mean(name: str, labels: str, good: float, bad: float) -> tuple[Series, ...]:
    """Take so many seconds on average, ten times a minute."""
    return (
        counter(f"{name}_sum{{{labels}}}", good * 10, bad * 10),
        counter(f"{name}_count{{{labels}}}", 10, 10),
    )


HTTP = "http_server_request_duration_seconds"
ROUTE = 'http_request_method="POST",http_route="/v1/x"'
DB = "db_client_operation_duration_seconds"
CALLS = "gen_ai_client_operation_duration_seconds_count"
GPT = 'dify_model_provider="openai",gen_ai_request_model="gpt-4o"'
RATE_LIMITED = "InvokeRateLimitError"
DAEMONS = "http_client_request_duration_seconds_count"
LONG = Phases(good=180, bad=120, after=180)
WEEK = Phases(good=60 * 24 * 3, bad=60, after=60)


def failing(name: str, labels: str, error: str) -> tuple[Series, ...]:
    """Fail 9 of 10 times while it is bad."""
    return (
        counter(f"{name}{{{labels}}}", 10, 1),
        counter(f'{name}{{{labels},error_type="{error}"}}', 0, 9),
    )


def errors_of_collector(name: str, labels: str) -> Case:
    """Count failures of the Collector with logs only: each signal must be seen."""
    return Case(
        (
            counter(f"{name}_spans{{{labels}}}", 0, 0),
            counter(f"{name}_log_records{{{labels}}}", 0, 5),
        )
    )


SLOW_P95 = Case(latency(HTTP, ROUTE, 2, 0.1, 5) + latency(HTTP, 'http_route="/fast"', 2, 0, 0))
RUNS = 'dify_requests_total{type="workflow",app_id="a",status="%s"}'
SLOW_RUNS = (
    *latency("dify_workflow_duration_seconds", 'app_id="a",status="succeeded"', 30, 0.1, 9),
    counter(RUNS % "succeeded", 10, 10),
)
FAILING_RUNS = (counter(RUNS % "succeeded", 10, 2), counter(RUNS % "failed", 0.05, 8))

CASES = {
    "HighAPIResponseTime": SLOW_P95,
    "DifyHighLatency": SLOW_P95,
    "SlowResponse": Case(latency(HTTP, ROUTE, 5, 0.1, 5)),
    # 4 % of refused requests are not 5 %.
    "HighErrorRate": Case((requests(200, 96, 90), requests(404, 4, 4), requests(500, 0, 6, "E"))),
    "DifyHighErrorRate": Case((requests(200, 91, 80), requests(500, 9, 20, "E"))),
    "ServerErrors": Case((requests(200, 96, 90), requests(500, 4, 10, "E"))),
    "ErrorsPerSecond": Case(
        (
            requests(200, 100, 100),
            requests(500, 0.5, 0.5, "E"),
            counter('dify_errors_total{type="workflow"}', 0.5, 2),
            counter('messaging_process_duration_seconds_count{error_type="E"}', 0, 2),
        )
    ),
    "WorkflowExecutionFailures": Case(
        (
            counter('dify_workflow_duration_seconds_count{app_id="a",status="failed"}', 0.3, 2),
            counter('dify_workflow_duration_seconds_count{app_id="a",status="succeeded"}', 9, 9),
        )
    ),
    "UnusualTokenUsage": Case(
        (counter(f'gen_ai_client_token_usage_sum{{{GPT},gen_ai_token_type="input"}}', 10, 90),),
        Phases(good=60 * 24, bad=120, after=240, step=2),
    ),
    "DatabaseConnectionFailure": Case((gauge('up{job="dify-health-check"}', 1, 0),)),
    "DifyAPIDown": Case((gauge('up{job="dify-api"}', 1, 0),)),
    "DifyDatabaseConnectionHigh": Case(
        (
            gauge('dify_database_connections_active{service_instance_id="a"}', 30, 35),
            gauge('dify_database_connections_max{service_instance_id="a"}', 40, 40),
            # Without a pool there is no limit, and no alert.
            gauge('dify_database_connections_active{service_instance_id="b"}', 1, 1),
            gauge('dify_database_connections_max{service_instance_id="b"}', 0, 0),
        )
    ),
    "HighCPUUsage": Case((gauge("system_cpu_usage_percent", 79, 81),)),
    "CPUHighForLong": Case((gauge("system_cpu_usage_percent", 79, 81),)),
    "HighMemoryUsage": Case((gauge("system_memory_usage_percent", 84, 86),)),
    "MemoryHighForLong": Case((gauge("system_memory_usage_percent", 84, 86),)),
    "DiskAlmostFull": Case((gauge('system_disk_usage_percent{path="/"}', 89, 91),)),
    "DifyHighMemoryUsage": Case(
        (
            gauge('container_memory_usage_bytes{pod="dify-api-1",container="api"}', 8e9, 9.5e9),
            gauge(
                'container_spec_memory_limit_bytes{pod="dify-api-1",container="api"}', 1e10, 1e10
            ),
            gauge('container_memory_usage_bytes{pod="dify-api-2",container="api"}', 8e9, 9.5e9),
            gauge('container_spec_memory_limit_bytes{pod="dify-api-2",container="api"}', 0, 0),
        )
    ),
    "DifyHighCPUUsage": Case(
        (counter('container_cpu_usage_seconds_total{pod="dify-api-1",container="api"}', 30, 55),)
    ),
    "DifyWorkerDown": Case(
        (
            counter("messaging_client_sent_messages_total", 10, 10),
            counter("messaging_process_duration_seconds_count", 10, 0),
        )
    ),
    "DatabaseUnreachable": Case(
        failing(f"{DB}_count", 'db_system_name="postgresql"', "OperationalError")
    ),
    "RedisUnreachable": Case(failing(f"{DB}_count", 'db_system_name="redis"', "ConnectionError")),
    "DatabaseSlow": Case(mean(DB, 'db_system_name="postgresql"', 0.09, 0.2)),
    # A worker waiting for tasks is not slow.
    "RedisSlow": Case(
        mean(DB, 'db_system_name="redis",db_operation_name="GET"', 0.04, 0.1)
        + mean(DB, 'db_system_name="redis",db_operation_name="BRPOP"', 9, 9)
    ),
    "SlowQueriesIncreasing": Case(
        (
            counter(f'{DB}_count{{db_system_name="postgresql"}}', 10, 10),
            counter(f'{DB}_bucket{{db_system_name="postgresql",le="0.5"}}', 9.5, 5),
        ),
        Phases(good=60 * 26, bad=90, after=90, step=2),
    ),
    "QueueBacklogGrowing": Case(
        (
            # Twice 15 waiting tasks, seen by two hosts, are still 15.
            gauge('dify_task_queue_size{queue_name="mail",host_name="a"}', 15, None),
            gauge('dify_task_queue_size{queue_name="mail",host_name="b"}', 15, None),
            counter('dify_task_queue_size{queue_name="dataset"}', 0, 10),
        ),
        Phases(after=20),
    ),
    "TasksWaitLong": Case(
        latency("dify_task_queue_wait_seconds", 'messaging_destination_name="d"', 30, 0.1, 5)
    ),
    "MeanResponseSlow": Case(mean(HTTP, 'http_route="/v1/x"', 0.9, 1.5)),
    "PluginDaemonDown": Case(
        failing(DAEMONS, 'server_address="plugin",server_port="5002"', "ConnectError")
        + failing(DAEMONS, 'server_address="example.com",server_port="443"', "ConnectError")
    ),
    "SandboxDown": Case(
        failing(DAEMONS, 'server_address="sandbox",server_port="8194"', "ConnectError")
    ),
    "ProviderRateLimited": Case(
        (
            counter(f"{CALLS}{{{GPT}}}", 97, 90),
            counter(f'{CALLS}{{{GPT},error_type="{RATE_LIMITED}"}}', 3, 10),
        )
    ),
    "ProviderDown": Case(failing(CALLS, GPT, "InvokeServerUnavailableError")),
    "AppAvailabilityBurnsFast": Case(FAILING_RUNS, LONG),
    "AppAvailabilityBurns": Case(FAILING_RUNS, LONG),
    "AppLatencyBurnsFast": Case(SLOW_RUNS, LONG),
    "AppLatencyBurns": Case(SLOW_RUNS, LONG),
    # The error rate stays as it is: 1 of 2 signals.
    "UnusualSignal": Case((requests(200, 60, 600),), WEEK),
    "DifferentFromLastWeek": Case(
        (
            gauge('dify:signal:avg1h{signal="tokens"}', 10, 30),
            gauge('dify:signal:avg1h{signal="request_rate"}', 1, 1),
        ),
        Phases(good=60 * 24 * 7 + 60, bad=60, after=60, step=5),
    ),
    "CostPerHourHigh": Case(
        (counter('dify_model_cost_total{app_id="a",currency="USD"}', 0.1, 0.6),), LONG
    ),
    "AppBudgetExceeded": Case(
        (counter('dify_model_cost_total{app_id="a",currency="USD"}', 0.01, 0.6),),
        Phases(good=120, bad=120, after=60 * 26, step=2),
    ),
    "CollectorDown": Case((gauge('up{job="otel-collector"}', 1, 0),)),
    "TelemetryBackendDown": Case((gauge('up{job="loki"}', 1, 0), gauge('up{job="jaeger"}', 1, 1))),
    "TelemetryWaiting": Case(
        (
            gauge('otel_dify_journal_age_seconds{service_name="dify-api",signal="logs"}', 10, 600),
            gauge('otel_dify_journal_age_seconds{service_name="dify-api",signal="traces"}', 0, 4),
        )
    ),
    "TelemetryLost": Case(
        (
            counter(
                'otel_dify_export_lost_total{service_name="dify-api",signal="traces",reason="full"}',
                0,
                3,
            ),
        )
    ),
    "ProcessKilled": Case((counter(RUNS % "succeeded", 9, 9), counter(RUNS % "terminated", 0, 1))),
    # The first failure makes the series.
    "HookFailures": Case(
        (counter('otel_dify_hook_failures{place="p",error_type="E"}', None, 1),), Phases(after=30)
    ),
    "CollectorExportFailing": errors_of_collector(
        "otelcol_exporter_send_failed", 'exporter="loki"'
    ),
    "CollectorDropping": errors_of_collector("otelcol_exporter_enqueue_failed", 'exporter="loki"'),
    "CollectorRefusing": errors_of_collector("otelcol_receiver_refused", 'receiver="otlp"'),
    "CollectorMemoryLimited": errors_of_collector(
        "otelcol_processor_refused", 'processor="memory_limiter"'
    ),
    "CollectorQueueFilling": Case(
        (
            gauge('otelcol_exporter_queue_size{exporter="loki"}', 40, 60),
            gauge('otelcol_exporter_queue_capacity{exporter="loki"}', 100, 100),
        )
    ),
    "MetricCardinalityOverflow": Case(
        (
            gauge(
                'dify_requests_total{service_name="dify-api",otel_metric_overflow="true"}', None, 1
            ),
            gauge('dify_requests_total{service_name="dify-api"}', 1, 1),
        )
    ),
    "ServiceRestarted": Case(
        (
            gauge('process_start_time_seconds{job="loki",instance="i"}', 1000, 2000),
            gauge('process_start_time_seconds{job="prometheus",instance="i"}', 1000, 1000),
        ),
        Phases(bad=10),
    ),
}
