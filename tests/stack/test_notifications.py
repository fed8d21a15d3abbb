"""An alert becomes one understandable message in each channel: the real Alertmanager tells."""

from __future__ import annotations

import json
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from collector.alertmanager.channels import configuration
from collector.configure import alertmanager_config, write
from collector.native.build import ensure
from collector.native.layout import HOST, Ports
from collector.native.programs import ALERTMANAGER, COLLECTOR_FOLDER
from collector.native.query import wait_until
from tests.stack.observed_fixtures import Observed


class Inbox:
    """What was received: by path over HTTP, and as mail."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.mails: list[str] = []

    def paths(self) -> list[str]:
        """Where something was posted."""
        return sorted(path for path, _ in self.posted)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Take a mail."""
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content)
        parts = [p for p in mail.walk() if p.get_content_type() == "text/plain"]
        body = b"".join(bytes(p.get_payload(decode=True) or b"") for p in parts).decode()
        self.mails.append(f"{mail['Subject']}\n{body}")
        return "250 OK"


@contextmanager
def received() -> Iterator[tuple[Inbox, str, int]]:
    """Listen for HTTP and for mail."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.posted.append((self.path, json.loads(body)))
            self.send_response(202 if self.path == "/pager" else 200)
            self.end_headers()
            self.wfile.write(b'{"status": "success"}' if self.path == "/pager" else b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    mail = Controller(inbox, hostname=HOST, port=Ports.free().loki)
    mail.start()
    try:
        yield inbox, f"http://{HOST}:{server.server_port}", mail.port
    finally:
        mail.stop()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def alertmanager(config: Path, folder: Path) -> Iterator[str]:
    """Run Alertmanager; its address."""
    url = f"http://{HOST}:{Ports.free().alertmanager}"
    command = [
        str(ensure(ALERTMANAGER) / "alertmanager"),
        f"--config.file={config}",
        f"--storage.path={folder}",
        f"--web.listen-address={url.removeprefix('http://')}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            wait_until(lambda: _ready(url), what="Alertmanager")
            yield url
        finally:
            process.terminate()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False


def fire(url: str, *names: str) -> None:
    """Send alerts as Prometheus does, with the labels and annotations that its rules have."""
    rules = {
        rule["alert"]: rule
        for path in (COLLECTOR_FOLDER / "prometheus" / "rules").glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    alerts = [
        {
            "labels": {"alertname": name, **rules[name]["labels"]},
            "annotations": rules[name]["annotations"],
            "startsAt": datetime.now(UTC).isoformat(),
        }
        for name in names
    ]
    httpx.post(f"{url}/api/v2/alerts", json=alerts).raise_for_status()


CHATS = ("slack", "webhook", "dingtalk", "feishu", "wecom")


def environment(url: str, smtp: int) -> dict[str, str]:
    """Every channel, on this machine."""
    return {
        **{f"ALERT_{name.upper()}_URL": f"{url}/{name}" for name in CHATS},
        "ALERT_PAGERDUTY_KEY": "0" * 32,
        "ALERT_PAGERDUTY_URL": f"{url}/pager",
        "ALERT_MAIL_TO": "operator@example.com",
        "ALERT_MAIL_FROM": "dify@example.com",
        "ALERT_SMTP_HOST": f"{HOST}:{smtp}",
        "ALERT_SMTP_TLS": "false",
        "ALERT_GROUP_WAIT": "1s",
        "GRAFANA_PUBLIC_URL": "https://grafana.example.com/",
    }


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Inbox, str]]:
    """The inbox, and Alertmanager with every channel leading to it."""
    with received() as (inbox, url, smtp):
        write(tmp_path / "configured", environment(url, smtp))
        with alertmanager(alertmanager_config(tmp_path / "configured"), tmp_path) as running:
            yield inbox, running


def test_a_critical_alert_reaches_every_channel_once_and_says_what_to_do(
    told: tuple[Inbox, str],
) -> None:
    inbox, url = told
    fire(url, "DifyAPIDown", "HighErrorRate", "DifyHighLatency")
    expected = sorted([*(f"/{name}" for name in CHATS), "/pager"])
    wait_until(lambda: (inbox.paths(), len(inbox.mails)), lambda got: got == (expected, 1))
    # HighErrorRate is a symptom of it, DifyHighLatency another one's name.
    bodies = [json.dumps(body) for _, body in inbox.posted] + inbox.mails
    assert all("Dify is down, its API does not answer" in body for body in bodies)
    (mail,) = inbox.mails
    assert mail.startswith("CRITICAL: Dify is down, its API does not answer\n")
    said = dict(inbox.posted)
    for text in (
        said["/dingtalk"]["text"]["content"],
        said["/feishu"]["content"]["text"],
        said["/wecom"]["markdown"]["content"],
    ):
        assert text.startswith("[Dify] CRITICAL: Dify is down, its API does not answer\n")
        assert "What to do: ./docs/runbooks.md#difyapidown\n" in text
    kinds = [said["/dingtalk"]["msgtype"], said["/feishu"]["msg_type"], said["/wecom"]["msgtype"]]
    assert kinds == ["text", "text", "markdown"]
    for link in (
        "docs/runbooks.md#difyapidown",
        "https://grafana.example.com/d/dify-overview",
        "http://localhost:16686/search?service=dify-api",
        f"{'/#/silences/new?filter=%7Balertname%3D%22DifyAPIDown%22%7D'}",
    ):
        assert link in mail


@pytest.mark.timeout(600)
def test_a_failing_provider_is_one_message_in_each_channel(
    observed: Observed, told: tuple[Inbox, str]
) -> None:
    """From calls that are refused, over Prometheus' rule (two minutes), to the messages."""
    inbox, url = told
    discovered = observed.layout.data / "prometheus" / "etc" / "alertmanagers" / "channels.yaml"
    discovered.write_text(yaml.safe_dump([{"targets": [url.removeprefix("http://")]}]))
    observed.round()
    expected = [(name, 1) for name in sorted([*(f"/{name}" for name in CHATS), "mail"])]

    def about() -> list[tuple[str, int]]:
        sentence = "openai refuses "
        told = [path for path, body in inbox.posted if sentence in json.dumps(body)]
        told += ["mail" for mail in inbox.mails if sentence in mail]
        return sorted(Counter(told).items())

    wait_until(about, lambda got: got == expected, timeout=300, what="message in each channel")
    (mail,) = (mail for mail in inbox.mails if "openai refuses " in mail)
    assert "of the calls of gpt-4o-mini: its rate limit is reached" in mail
    assert "docs/runbooks.md#providerratelimited" in mail


def test_a_warning_goes_to_chats_and_mail_and_an_info_to_mail(told: tuple[Inbox, str]) -> None:
    inbox, url = told
    fire(url, "ProviderRateLimited", "ServiceRestarted")
    chats = sorted(f"/{name}" for name in CHATS)
    wait_until(lambda: (inbox.paths(), len(inbox.mails)), lambda got: got == (chats, 2))
    assert sorted(mail.partition(":")[0] for mail in inbox.mails) == ["INFO", "WARNING"]


def test_without_variables_nobody_is_told(tmp_path: Path) -> None:
    write(tmp_path, {})
    path = alertmanager_config(tmp_path)
    answer = subprocess.run(
        [str(ensure(ALERTMANAGER) / "amtool"), "check-config", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert {"name": "critical"} in configuration({})["receivers"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_half_a_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="ALERT_MAIL_FROM"):
        configuration({"ALERT_MAIL_TO": "a@example.com"})


NONSENSE = (
    "nonsense",
    "https:///x",
    "http://host:99999/x",
    "https://a b",
    "https://h/%zz",
    "{{ .X }}",
)


@pytest.mark.parametrize("value", NONSENSE)
@pytest.mark.parametrize(
    "name",
    [
        *("ALERT_SLACK_URL", "ALERT_WEBHOOK_URL", "ALERT_DINGTALK_URL", "ALERT_PAGERDUTY_URL"),
        *("ALERT_SMTP_HOST", "ALERT_MAIL_TO", "ALERT_GROUP_WAIT"),
    ],
)
def test_a_malformed_address_costs_its_channel_and_alertmanager_takes_the_rest(
    tmp_path: Path, name: str, value: str
) -> None:
    good = {
        "ALERT_FEISHU_URL": "https://user:word@feishu.example.com:8443/hook/a%20b?c=d",
        "ALERT_PAGERDUTY_KEY": "key",
        "ALERT_MAIL_TO": "ops@example.com, on-call@example.com",
        "ALERT_MAIL_FROM": "dify@example.com",
        "ALERT_SMTP_HOST": "smtp.example.com:587",
    }
    [said] = write(tmp_path, good | {name: value})
    assert name in said
    assert value not in said
    config = alertmanager_config(tmp_path)
    checked = subprocess.run(
        [ensure(ALERTMANAGER) / "amtool", "check-config", config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    written = config.read_text()
    assert good["ALERT_FEISHU_URL"] in written
    assert value not in written


def test_well_formed_addresses_are_left_alone(tmp_path: Path) -> None:
    assert (
        write(tmp_path, {"ALERT_SLACK_URL": "http://127.0.0.1:1/x", "ALERT_GROUP_WAIT": "1m30s"})
        == []
    )
