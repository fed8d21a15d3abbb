"""Agents and gateways as processes: who may send, and that nothing is lost between the tiers."""

from __future__ import annotations

import json
import os
import secrets
import signal
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from collector.native.build import ensure
from collector.native.layout import HOST, Layout, Ports
from collector.native.processes import ProcessId, start, stop
from collector.native.programs import COLLECTOR, COLLECTOR_FOLDER
from collector.native.query import wait_until
from tests.stack.otlp_json import Telemetry

BASE = COLLECTOR_FOLDER / "otelcol.yaml"
TIERS = COLLECTOR_FOLDER / "tiers"
DROP_INS = COLLECTOR_FOLDER / "drop-ins"
TOKEN, GATEWAY_TOKEN = secrets.token_hex(16), secrets.token_hex(16)
AGENT = (BASE, DROP_INS / "redaction.yaml", TIERS / "token.yaml", TIERS / "agent.yaml")
GATEWAY = (BASE, DROP_INS / "sampling.yaml", TIERS / "token.yaml")
ARCHIVE = """
exporters:
  file/archive: {path: "${env:ARCHIVE}", append: true, flush_interval: 100ms}
service:
  pipelines:
    traces: {exporters: [file/archive]}
    metrics: {exporters: [file/archive]}
    logs: {exporters: [file/archive]}
"""


class Tier:
    """One Collector on ports and in a folder of its own."""

    def __init__(
        self, folder: Path, configs: tuple[Path, ...], environment: Mapping[str, str]
    ) -> None:
        folder.mkdir()
        self.layout = Layout(folder, Ports.free())
        self.archive = folder / "archive.json"
        self._configs = configs
        self._environment = {
            **os.environ,
            **self.layout.environment(),
            "ARCHIVE": str(self.archive),
            **environment,
        }
        self._running: tuple[ProcessId, subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes data."""
        command = [
            str(ensure(COLLECTOR) / "otelcol"),
            *(f"--config={one}" for one in self._configs),
        ]
        folder = self.layout.data
        self._running = start(command, self._environment, folder, folder / "log")
        wait_until(self._healthy, bool, what=f"Collector in {folder}")

    def _healthy(self) -> bool:
        try:
            return httpx.get(self.layout.collector_health).is_success
        except httpx.TransportError:
            return False

    def suspend(self) -> None:
        """Let it hang: its connections stay, and nothing is answered."""
        assert self._running is not None
        self._running[1].send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._running is not None
        self._running[1].send_signal(signal.SIGCONT)

    def stop(self, grace: float = 20.0) -> None:
        """End it; with no grace by SIGKILL."""
        if self._running is not None:
            stop(*self._running, grace)
            self._running = None

    def send(self, trace_id: str, token: str = TOKEN) -> str:
        """Send a failed span of a trace; return its id."""
        telemetry = Telemetry("api", trace_id=trace_id)
        body = telemetry.traces()
        body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"] = {"code": 2}
        answer = httpx.post(
            f"{self.layout.otlp_http}/v1/traces",
            json=body,
            headers={"authorization": f"Bearer {token}"} if token else {},
        )
        answer.raise_for_status()
        return telemetry.span_id

    def spans(self) -> set[str]:
        """The spans that have come out of it."""
        text = self.archive.read_text() if self.archive.exists() else ""
        # The last line may be half written.
        return {
            span["spanId"]
            for line in text.splitlines(keepends=True)
            if line.endswith("\n")
            for resource in json.loads(line).get("resourceSpans", ())
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        }


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[tuple[list[Tier], list[Tier]]]:
    """Two agents and two gateways, running."""
    archive = tmp_path / "archive.yaml"
    archive.write_text(ARCHIVE)
    sampling = {
        "OTELCOL_TOKEN": GATEWAY_TOKEN,
        "OTELCOL_SAMPLING_WAIT": "2s",
        "OTELCOL_SAMPLING_SETTLE": "2s",
    }
    gateways = [Tier(tmp_path / f"gateway{n}", (*GATEWAY, archive), sampling) for n in (1, 2)]
    addresses = ",".join(f"{HOST}:{one.layout.ports.otlp_grpc}" for one in gateways)
    sending = {
        "OTELCOL_TOKEN": TOKEN,
        "OTELCOL_GATEWAY_TOKEN": GATEWAY_TOKEN,
        "OTELCOL_GATEWAYS": f"[{addresses}]",
        "OTELCOL_GATEWAY_URL": gateways[0].layout.otlp_http,
        "OTELCOL_GATEWAY_INSECURE": "true",
    }
    agents = [Tier(tmp_path / f"agent{n}", AGENT, sending) for n in (1, 2)]
    try:
        for one in (*gateways, *agents):
            one.start()
        yield agents, gateways
    finally:
        for one in (*agents, *gateways):
            one.stop()


def all_of(gateways: list[Tier]) -> set[str]:
    """The spans that have come out of any gateway."""
    return set().union(*(one.spans() for one in gateways))


def test_who_shows_no_token_or_a_wrong_one_is_refused(
    tiers: tuple[list[Tier], list[Tier]],
) -> None:
    for one in (tiers[0][0], tiers[1][0]):
        for token in ("", "wrong"):
            with pytest.raises(httpx.HTTPStatusError, match="401"):
                one.send(secrets.token_hex(16), token)


def test_a_trace_split_over_two_agents_comes_out_of_one_gateway(
    tiers: tuple[list[Tier], list[Tier]],
) -> None:
    agents, gateways = tiers
    traces = [secrets.token_hex(16) for _ in range(40)]
    sent = {one: {agent.send(one) for agent in agents} for one in traces}
    every = set().union(*sent.values())
    wait_until(lambda: all_of(gateways), lambda there: there >= every, what="all spans")
    first, second = (one.spans() for one in gateways)
    assert all(spans <= first or spans <= second for spans in sent.values())
    assert first, "the traces are spread"
    assert second, "the traces are spread"


@pytest.mark.parametrize("grace", [20.0, 0.0], ids=["restart", "kill"])
def test_what_an_agent_has_queued_outlives_it(
    tiers: tuple[list[Tier], list[Tier]], grace: float
) -> None:
    agents, gateways = tiers
    for one in gateways:
        one.stop()
    sent = {agents[0].send(secrets.token_hex(16)) for _ in range(40)}
    agents[0].stop(grace)
    for one in (agents[0], *gateways):
        one.start()
    wait_until(lambda: all_of(gateways), lambda there: there >= sent, what="all spans", timeout=60)


@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hanging"])
def test_traces_of_a_gateway_that_is_away_wait_for_it_and_stay_whole(
    tiers: tuple[list[Tier], list[Tier]], hangs: bool
) -> None:
    agents, gateways = tiers
    away = gateways[0]
    if hangs:
        away.suspend()
    else:
        away.stop(0)
    sent = {}
    try:
        for trace in [secrets.token_hex(16) for _ in range(20)]:
            sent[trace] = {agent.send(trace) for agent in agents}
    finally:
        if hangs:
            away.resume()
    if not hangs:
        away.start()
    every = set().union(*sent.values())
    wait_until(lambda: all_of(gateways), lambda there: there >= every, what="all spans", timeout=90)
    first, second = (one.spans() for one in gateways)
    assert all(spans <= first or spans <= second for spans in sent.values())


def test_spans_go_by_tls_to_a_gateway_whose_certificate_the_agent_trusts(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        (
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=gateway"),
            *("-addext", f"subjectAltName=IP:{HOST}", "-keyout", key, "-out", certificate),
        ),
        check=True,
        capture_output=True,
    )
    archive = tmp_path / "archive.yaml"
    archive.write_text(ARCHIVE)
    served = {"OTELCOL_TLS_CERT": str(certificate), "OTELCOL_TLS_KEY": str(key)}
    deciding = {"OTELCOL_TOKEN": GATEWAY_TOKEN, "OTELCOL_SAMPLING_SETTLE": "1s"}
    gateway = Tier(
        tmp_path / "gateway", (*GATEWAY, TIERS / "tls.yaml", archive), {**served, **deciding}
    )
    url = gateway.layout.otlp_http.replace("http:", "https:")
    agent = Tier(
        tmp_path / "agent",
        AGENT,
        {
            "OTELCOL_TOKEN": TOKEN,
            "OTELCOL_GATEWAY_TOKEN": GATEWAY_TOKEN,
            "OTELCOL_GATEWAYS": f"[{HOST}:{gateway.layout.ports.otlp_grpc}]",
            "OTELCOL_GATEWAY_URL": url,
            "OTELCOL_GATEWAY_CA": str(certificate),
        },
    )
    try:
        gateway.start()
        agent.start()
        sent = {agent.send(secrets.token_hex(16)) for _ in range(5)}
        wait_until(gateway.spans, lambda there: there >= sent, what="all spans")
        with pytest.raises(httpx.ConnectError):
            httpx.get(url, verify=ssl.create_default_context())
    finally:
        agent.stop()
        gateway.stop()


def test_the_collector_accepts_the_tiers_with_the_drop_ins(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        **Layout(tmp_path).environment(),
        "OTELCOL_TOKEN": TOKEN,
        "OTELCOL_GATEWAY_TOKEN": GATEWAY_TOKEN,
    }
    more = (DROP_INS / "host-metrics.yaml", DROP_INS / "log-files.yaml")
    resolver = tmp_path / "dns.yaml"
    resolver.write_text(
        "exporters: {loadbalancing: {resolver: {static: null, dns: {hostname: gateway}}}}"
    )
    for configs in (AGENT, (*AGENT, *more), (*AGENT, resolver), GATEWAY, (BASE, AGENT[2])):
        answer = subprocess.run(
            [ensure(COLLECTOR) / "otelcol", "validate", *(f"--config={one}" for one in configs)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.returncode == 0, (configs, answer.stderr)


def test_without_a_token_the_collector_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, **Layout(tmp_path).environment()}
    environment.pop("OTELCOL_TOKEN", None)
    answer = subprocess.run(
        [ensure(COLLECTOR) / "otelcol", "validate", *(f"--config={one}" for one in GATEWAY)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode != 0
    assert "bearertokenauth" in answer.stderr
