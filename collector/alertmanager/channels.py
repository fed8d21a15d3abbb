"""Alertmanager's configuration, made from environment variables: who is told what, and when.

A channel without its variable is left out; without any, alerts are shown in Alertmanager and
nobody is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TITLE = '{{ template "dify.title" . }}'
_TEXT = '{{ template "dify.text" . }}'
# Alertmanager reads what it has filled in as YAML and sends a mapping where it finds one
# ("CRITICAL: it is down"). No YAML begins like this, so it stays text. DingTalk's keyword can be
# Dify.
_MESSAGE = f"[Dify] {_TITLE}\n\n{_TEXT}"
# Bots of chats that Alertmanager has no receiver for: its webhook (0.32 and later) posts what they
# take. Formats: DingTalk "custom robot, message types", Feishu "custom bot usage guide",
# WeCom "group robot, message types"; of WeCom's 4096 bytes an alert takes some 600.
BOTS: dict[str, dict[str, Any]] = {
    "ALERT_DINGTALK_URL": {"payload": {"msgtype": "text", "text": {"content": _MESSAGE}}},
    "ALERT_FEISHU_URL": {"payload": {"msg_type": "text", "content": {"text": _MESSAGE}}},
    "ALERT_WECOM_URL": {
        "max_alerts": 6,
        "payload": {"msgtype": "markdown", "markdown": {"content": _MESSAGE}},
    },
    # Whatever takes Alertmanager's own format.
    "ALERT_WEBHOOK_URL": {},
}
SLACK = "ALERT_SLACK_URL"
PAGER = "ALERT_PAGERDUTY_KEY"
MAIL = ("ALERT_MAIL_TO", "ALERT_MAIL_FROM", "ALERT_SMTP_HOST")

# Cause to what it explains: the symptoms are silent while the cause is known.
INHIBITIONS = {
    "DifyAPIDown|DatabaseConnectionFailure|DatabaseUnreachable|RedisUnreachable": (
        "HighErrorRate|DifyHighErrorRate|ServerErrors|ErrorsPerSecond|HighAPIResponseTime|"
        "SlowResponse|MeanResponseSlow|WorkflowExecutionFailures|App(Availability|Latency)Burns.*|"
        "DifyWorkerDown|QueueBacklogGrowing|TasksWaitLong|DatabaseSlow|RedisSlow|UnusualSignal"
    ),
    "DifyAPIDown": "DatabaseConnectionFailure",
    "PluginDaemonDown": "ProviderDown|ProviderRateLimited",
    "PluginDaemonDown|SandboxDown|ProviderDown": (
        "WorkflowExecutionFailures|App(Availability|Latency)Burns.*|ErrorsPerSecond|UnusualSignal"
    ),
    "CollectorDown": "CollectorRefusing|TelemetryWaiting|TelemetryLost|UnusualSignal",
}


def chats(environ: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Make the parts of a receiver that write to chats, of those that are asked for."""
    made: dict[str, list[dict[str, Any]]] = {}
    if environ.get(SLACK):
        slack = {"api_url": environ[SLACK], "title": _TITLE, "text": _TEXT}
        made["slack_configs"] = [{**slack, "send_resolved": True}]
    bots = [
        {"url": environ[variable], "send_resolved": True, **format_}
        for variable, format_ in BOTS.items()
        if environ.get(variable)
    ]
    if bots:
        made["webhook_configs"] = bots
    return made


def mail(environ: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Make the part of a receiver that sends mail.

    Raises:
        ValueError: some but not all of its variables are set.
    """
    values = [environ.get(name, "") for name in MAIL]
    if not any(values):
        return {}
    if not all(values):
        raise ValueError(f"Mail needs all of {', '.join(MAIL)}: set them, or none")
    to, sender, host = values
    config: dict[str, Any] = {
        "to": to,
        "from": sender,
        "smarthost": host,
        "send_resolved": True,
        "require_tls": environ.get("ALERT_SMTP_TLS", "true").lower() != "false",
        "headers": {"Subject": _TITLE},
        "text": _TEXT,
        "html": "",
    }
    if environ.get("ALERT_SMTP_USER"):
        config |= {
            "auth_username": environ["ALERT_SMTP_USER"],
            "auth_password": environ.get("ALERT_SMTP_PASSWORD", ""),
        }
    return {"email_configs": [config]}


def configuration(environ: Mapping[str, str]) -> dict[str, Any]:
    """Make the configuration.

    Raises:
        ValueError: a channel is set up in part.
    """
    to_chats, by_mail = chats(environ), mail(environ)
    pager: dict[str, Any] = {}
    if environ.get(PAGER):
        config = {"routing_key": environ[PAGER], "description": _TITLE}
        if environ.get("ALERT_PAGERDUTY_URL"):
            config["url"] = environ["ALERT_PAGERDUTY_URL"]
        pager = {"pagerduty_configs": [config]}
    wait = environ.get("ALERT_GROUP_WAIT", "30s")
    return {
        "templates": ["*.tmpl"],
        "route": {
            "receiver": "ui",
            "group_by": ["alertname", "deployment_environment_name", "app_id"],
            "group_wait": wait,
            # Of the same alerts, never more than one message in five minutes.
            "group_interval": "5m",
            "repeat_interval": "4h",
            "routes": [
                {"matchers": ['alias_of=~".+"'], "receiver": "ui"},
                {
                    "matchers": ["severity=critical"],
                    "receiver": "critical",
                    "group_wait": "0s",
                    "repeat_interval": "1h",
                },
                {"matchers": ["severity=warning"], "receiver": "warning"},
                {
                    # One mail a day for all. Alertmanager sends the first at once and, a day
                    # later, what fires then: what came and went in between is not in it.
                    "matchers": ["severity=info"],
                    "receiver": "info",
                    "group_by": ["severity"],
                    "group_interval": "1d",
                    "repeat_interval": "1d",
                },
            ],
        },
        "inhibit_rules": [
            {"source_matchers": [f'alertname=~"{cause}"'], "target_matchers": [f'alertname=~"{s}"']}
            for cause, s in INHIBITIONS.items()
        ],
        "receivers": [
            {"name": "ui"},
            {"name": "critical", **to_chats, **by_mail, **pager},
            {"name": "warning", **to_chats, **by_mail},
            {"name": "info", **by_mail},
        ],
    }
