"""Agent and gateway in containers, by their compose files, and a real cut of the network between."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from collector.native.layout import Ports
from collector.native.query import Jaeger, Loki, Prometheus, wait_until
from tests.containers.deployment import OVERLAY, PATIENCE_S, SETUP_IMAGE, STAND_IN
from tests.containers.engine import ROOT, Engine
from tests.containers.images import images
from tests.stack.otlp_json import Telemetry

TIERS = ROOT / "collector" / "tiers"
AGENT = (STAND_IN, OVERLAY, TIERS / "agent.compose.yaml")
GATEWAY = (TIERS / "gateway.compose.yaml", Path(__file__).with_name("tiers.yaml"))
BACKENDS = ("jaeger", "prometheus", "loki")
TOKEN, GATEWAY_TOKEN = secrets.token_hex(16), secrets.token_hex(16)

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Machine:
    """One project of compose, as one machine would have it."""

    engine: Engine
    project: str
    files: tuple[Path, ...]
    settings: Mapping[str, str]

    def down(self) -> None:
        """Remove all of it."""
        done = self._run("down", "--volumes")
        assert done.returncode == 0 or self.engine.only_miscounted(self.project, done.stderr)

    def compose(self, *arguments: str) -> None:
        """Run `docker compose` there."""
        done = self._run(*arguments)
        assert done.returncode == 0, done.stderr

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        files = [word for path in self.files for word in ("-f", str(path))]
        return subprocess.run(
            ["docker", "compose", "-p", self.project, *files, *arguments],
            env={**self.engine.environ, **self.settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def collector(self) -> str:
        """The name of the Collector's container."""
        return f"{self.project}-otel-collector-1"


@dataclass(frozen=True)
class Tiers:
    """An agent and a gateway on networks of their own, and one between them."""

    engine: Engine
    agent: Machine
    gateway: Machine
    between: str
    ports: Mapping[str, int]

    def url(self, name: str) -> str:
        """Where a backend is published."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def cut(self) -> None:
        """Take the agent out of the network between: nothing answers, not even with a refusal."""
        self.engine.docker("network", "disconnect", self.between, self.agent.collector())

    def join(self) -> None:
        """Put the agent back."""
        self.engine.docker("network", "connect", self.between, self.agent.collector())

    def send(self) -> Telemetry:
        """Send a span, a metric and a log record to the agent, each of which it must take."""
        networks = self.engine.inspect(self.agent.collector())["NetworkSettings"]["Networks"]
        address = networks[f"{self.agent.project}_default"]["IPAddress"]
        telemetry = Telemetry(f"cut-{secrets.token_hex(4)}")
        for signal in ("traces", "metrics", "logs"):
            answer = httpx.post(
                f"http://{address}:4318/v1/{signal}",
                json=getattr(telemetry, signal)(),
                headers={"authorization": f"Bearer {TOKEN}"},
                timeout=PATIENCE_S,
            )
            answer.raise_for_status()
        return telemetry

    def missing(self, sent: list[Telemetry]) -> set[str]:
        """What the backends do not have of what was sent."""
        jaeger, loki = Jaeger(self.url("jaeger")), Loki(self.url("loki"))
        counted = Prometheus(self.url("prometheus")).query(
            'max by (job) (max_over_time(dify_requests_total{job=~"cut-.+"}[1h])) == 17'
        )
        known = {series.labels["job"] for series in counted}
        lines = loki.query_range('{service_name=~"cut-.+"}')
        traced = {line.labels.get("trace_id") for line in lines}
        return {
            *(f"metric of {one.service}" for one in sent if one.service not in known),
            *(f"line of {one.service}" for one in sent if one.trace_id not in traced),
            *(f"span of {one.service}" for one in sent if not jaeger.trace(one.trace_id)),
        }

    def whole(self, sent: list[Telemetry]) -> None:
        """Wait until the backends have all of it."""
        wait_until(
            lambda: self.missing(sent),
            lambda missing: not missing,
            timeout=PATIENCE_S,
            what="all that was sent",
        )


@pytest.fixture(scope="module")
def tiers(engine: Engine) -> Iterator[Tiers]:
    """Start both as collector/tiers/README.md says; of Dify nothing."""
    free = Ports.free()
    ports = {name: getattr(free, name, free.jaeger_query) for name in BACKENDS}
    both = {"DIFY_OTEL_HOME": str(ROOT), "GRAFANA_PASSWORD": "any", "OTEL_SETUP_IMAGE": SETUP_IMAGE}
    name = f"otel-dify-tiers-{os.getpid()}"
    gateway = Machine(
        engine,
        f"{name}-gateway",
        GATEWAY,
        {
            **both,
            "OTELCOL_TOKEN": GATEWAY_TOKEN,
            "OTELCOL_SAMPLING_RATE": "1",
            "OTELCOL_SAMPLING_WAIT": "1s",
            "OTELCOL_SAMPLING_SETTLE": "1s",
            **{f"EXPOSE_{one.upper()}_PORT": str(port) for one, port in ports.items()},
        },
    )
    agent = Machine(
        engine,
        f"{name}-agent",
        AGENT,
        {
            **both,
            "OTELCOL_TOKEN": TOKEN,
            "OTELCOL_GATEWAY_TOKEN": GATEWAY_TOKEN,
            "OTELCOL_GATEWAY_URL": "http://gateway:4318",
            "OTELCOL_GATEWAY_INSECURE": "true",
        },
    )
    found = Tiers(engine, agent, gateway, f"{name}-between", ports)
    overlay = yaml.safe_load(OVERLAY.read_text(encoding="utf-8"))["services"]
    with (
        images(
            engine, [SETUP_IMAGE, *(overlay[s]["image"] for s in ("otel-collector", *BACKENDS))]
        ),
        engine.inside(),
    ):
        engine.docker("network", "create", "--internal", found.between)
        try:
            gateway.compose("up", "-d", "otel-collector", *BACKENDS)
            agent.compose("up", "-d", "otel-collector")
            connect = ("network", "connect", "--alias", "gateway", found.between)
            engine.docker(*connect, gateway.collector())
            found.join()
            yield found
        finally:
            for machine in (agent, gateway):
                machine.down()
            engine.docker("network", "rm", found.between)


def test_all_three_signals_go_from_agent_over_gateway_to_the_backends(tiers: Tiers) -> None:
    wait_until(lambda: _takes(tiers), timeout=PATIENCE_S, what="agent that takes data")
    tiers.whole([tiers.send() for _ in range(5)])


def test_what_is_sent_while_the_network_is_cut_arrives_when_it_is_joined(tiers: Tiers) -> None:
    """Also where the agent is killed meanwhile: it has taken it, and its queue is on disk."""
    tiers.cut()
    sent = [tiers.send() for _ in range(20)]
    tiers.engine.docker("kill", tiers.agent.collector())
    tiers.engine.docker("start", tiers.agent.collector())
    wait_until(lambda: _takes(tiers), timeout=PATIENCE_S, what="agent that takes data")
    sent += [tiers.send() for _ in range(20)]
    assert len(tiers.missing(sent)) == len(sent) * 3, "the network was not cut"
    tiers.join()
    tiers.whole(sent)


def _takes(tiers: Tiers) -> bool:
    try:
        tiers.send()
    except (httpx.TransportError, KeyError):
        return False
    return True
