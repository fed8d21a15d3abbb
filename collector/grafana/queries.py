"""What panels ask again and again, in PromQL and LogQL."""

from __future__ import annotations

RATE = "[$__rate_interval]"
LOGS = '{service_name=~"dify-.+"}'
ANSWERED = f'{LOGS} | dify_event_name="dify.http.request"'
HTTP = "http_server_request_duration_seconds"
DB = "db_client_operation_duration_seconds"
CALLS = "gen_ai_client_operation_duration_seconds"
TOKENS = "gen_ai_client_token_usage_sum"
COST = "dify_model_cost_total"


def total(metric: str, labels: str = "") -> str:
    """Ask for events a second, of all."""
    return f"sum(rate({metric}{{{labels}}}{RATE}))"


def rate(by: str, metric: str, labels: str = "") -> str:
    """Ask for events a second, by labels."""
    return f"sum by ({by}) (rate({metric}{{{labels}}}{RATE}))"


def named(expression: str) -> str:
    """Give what is asked by `app_id` the app's name as well."""
    return f"({expression}) * on (app_id) group_left (app_name) dify:app:info"


def versioned(expression: str) -> str:
    """Give what is asked by `workflow_id` its version as well."""
    return f"({expression}) * on (workflow_id) group_left (workflow_version) dify:workflow:info"


def a_minute(by: str, metric: str, labels: str = "") -> str:
    """Ask for events a minute, by labels."""
    return f"60 * {rate(by, metric, labels)}"


def part(by: str, metric: str, labels: str, chosen: str, window: str = RATE) -> str:
    """Ask for the part of events that has some more labels, 0 to 1; 0 where none has."""
    every = f"sum by ({by}) (rate({metric}{{{labels}}}{window}))"
    both = ",".join(filter(None, (labels, chosen)))
    some = f"sum by ({by}) (rate({metric}{{{both}}}{window}))"
    return f"({some} or 0 * {every}) / ({every} > 0)"


def quantile(q: float, metric: str, labels: str = "", by: str = "", window: str = RATE) -> str:
    """Ask for a quantile of a histogram, by labels."""
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({groups}) (rate({metric}_bucket{{{labels}}}{window})))"


def quantiles(metric: str, labels: str = "") -> dict[str, str]:
    """Ask for the usual three quantiles."""
    return {f"p{q * 100:.0f}": quantile(q, metric, labels) for q in (0.5, 0.95, 0.99)}


def daily(by: str, metric: str, labels: str = "") -> str:
    """Ask for how many there were in 24 hours, by labels."""
    return f"sum by ({by}) (increase({metric}{{{labels}}}[1d]))"


def counted(by: str, logql: str) -> str:
    """Ask for the number of log records, by labels."""
    return f"sum by ({by}) (count_over_time({logql} [$__interval]))"


def of_collector(name: str) -> dict[str, str]:
    """Ask for one of the Collector's rates, by signal."""
    signals = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}
    return {
        signal: f"sum(rate({name}_{what}{RATE})) or vector(0)" for signal, what in signals.items()
    }
