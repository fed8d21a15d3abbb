"""Agents and gateways as processes: who may send, and that nothing is lost between the tiers."""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from collector.native.build import ensure
from collector.native.layout import HOST, Layout
from collector.native.programs import COLLECTOR, COLLECTOR_FOLDER
from collector.native.query import wait_until
from tests.stack.tier import ARCHIVE, Tier

BASE = COLLECTOR_FOLDER / "otelcol.yaml"
TIERS = COLLECTOR_FOLDER / "tiers"
DROP_INS = COLLECTOR_FOLDER / "drop-ins"
TOKEN, GATEWAY_TOKEN = secrets.token_hex(16), secrets.token_hex(16)
AGENT = (BASE, DROP_INS / "redaction.yaml", TIERS / "token.yaml", TIERS / "agent.yaml")
GATEWAY = (BASE, DROP_INS / "sampling.yaml", TIERS / "token.yaml")


# The agents' queue of traces, but in memory.
FORGETFUL = "exporters: {loadbalancing: {sending_queue: {storage: null}}}"


@contextmanager
def running(
    folder: Path, agent: tuple[Path, ...] = AGENT
) -> Iterator[tuple[list[Tier], list[Tier]]]:
    """Run two agents and two gateways."""
    archive = folder / "archive.yaml"
    archive.write_text(ARCHIVE)
    sampling = {
        "OTELCOL_TOKEN": GATEWAY_TOKEN,
        "OTELCOL_SAMPLING_WAIT": "2s",
        "OTELCOL_SAMPLING_SETTLE": "2s",
    }
    gateways = [Tier(folder / f"gateway{n}", (*GATEWAY, archive), sampling) for n in (1, 2)]
    addresses = ",".join(f"{HOST}:{one.layout.ports.otlp_grpc}" for one in gateways)
    sending = {
        "OTELCOL_TOKEN": TOKEN,
        "OTELCOL_GATEWAY_TOKEN": GATEWAY_TOKEN,
        "OTELCOL_GATEWAYS": f"[{addresses}]",
        "OTELCOL_GATEWAY_URL": gateways[0].layout.otlp_http,
        "OTELCOL_GATEWAY_INSECURE": "true",
    }
    agents = [Tier(folder / f"agent{n}", agent, sending) for n in (1, 2)]
    try:
        for one in (*gateways, *agents):
            one.start()
        yield agents, gateways
    finally:
        for one in (*agents, *gateways):
            one.stop()


@pytest.fixture
def tiers(tmp_path: Path) -> Iterator[tuple[list[Tier], list[Tier]]]:
    """Two agents and two gateways, running."""
    with running(tmp_path) as found:
        yield found


def all_of(gateways: list[Tier]) -> set[str]:
    """The spans that have come out of any gateway."""
    return set().union(*(one.arrived() for one in gateways))


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
    sent = {one: {agent.send(one, TOKEN) for agent in agents} for one in traces}
    every = set().union(*sent.values())
    wait_until(lambda: all_of(gateways), lambda there: there >= every, what="all spans")
    first, second = (one.arrived() for one in gateways)
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
    sent = {agents[0].send(secrets.token_hex(16), TOKEN) for _ in range(40)}
    agents[0].stop(grace)
    for one in (agents[0], *gateways):
        one.start()
    wait_until(lambda: all_of(gateways), lambda there: there >= sent, what="all spans", timeout=60)


def test_without_a_queue_on_disk_a_killed_agent_loses_what_it_had(tmp_path: Path) -> None:
    """What the test above sees is the queue's doing: nothing else keeps these spans."""
    forgetful = tmp_path / "forgetful.yaml"
    forgetful.write_text(FORGETFUL)
    with running(tmp_path, (*AGENT, forgetful)) as (agents, gateways):
        for one in gateways:
            one.stop()
        sent = {agents[0].send(secrets.token_hex(16), TOKEN) for _ in range(40)}
        agents[0].stop(0)
        for one in (agents[0], *gateways):
            one.start()
        # What is sent now comes after what a queue would have held, to either gateway.
        later = {agents[0].send(secrets.token_hex(16), TOKEN) for _ in range(40)}
        wait_until(
            lambda: all_of(gateways), lambda there: there >= later, what="later spans", timeout=60
        )
        assert not all_of(gateways) & sent


@pytest.mark.parametrize("signal", ["metrics", "logs"])
def test_metrics_and_logs_wait_on_the_agent_s_disk_as_traces_do(
    tiers: tuple[list[Tier], list[Tier]], signal: str
) -> None:
    agents, gateways = tiers
    gateways[0].stop()
    sent = {agents[0].send(secrets.token_hex(16), TOKEN, signal) for _ in range(20)}
    agents[0].stop(0)
    for one in (agents[0], gateways[0]):
        one.start()
    wait_until(
        lambda: gateways[0].arrived(signal), lambda there: there >= sent, what=signal, timeout=60
    )


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
            sent[trace] = {agent.send(trace, TOKEN) for agent in agents}
    finally:
        if hangs:
            away.resume()
    if not hangs:
        away.start()
    every = set().union(*sent.values())
    wait_until(lambda: all_of(gateways), lambda there: there >= every, what="all spans", timeout=90)
    first, second = (one.arrived() for one in gateways)
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
        sent = {agent.send(secrets.token_hex(16), TOKEN) for _ in range(5)}
        wait_until(gateway.arrived, lambda there: there >= sent, what="all spans")
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
