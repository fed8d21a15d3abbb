"""The way to the Collector, step by step, over real sockets; and the clocks at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from examples.host.children import free_port
from otel_dify import guard
from otel_dify.cli.doctor import clocks, reach, roundtrip
from otel_dify.cli.doctor.checks import CHECKS, examine
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, Severity
from otel_dify.export.sending.destination import destination
from otel_dify.process import process
from otel_dify.settings import Settings
from tests.unit.sending.certificates import Authority, serving
from tests.unit.sending.receiver import HANG_UP, Answer, Receiver, response

ENDPOINT, HEADERS = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"
CERTIFICATE = "OTEL_EXPORTER_OTLP_CERTIFICATE"
NOW = 1_764_000_000.0
DAY_S = 86_400


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test hear what is said once, and fail where a guard of ours had to catch."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    guard.caught().clear()
    yield
    assert not dict(guard.caught())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


def looked(url: str, **environ: str) -> list[Finding]:
    return list(reach.check(Examined({ENDPOINT: url, **environ}, timeout_s=5.0)))


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.about, finding.severity) for finding in findings]


def refused(answer: Answer, **environ: str) -> Finding:
    """Return what is told of an answer."""
    with Receiver(answer) as receiver:
        *_, last = looked(receiver.url, **environ)
    assert last.about == "collector.takes"
    return last


def test_a_collector_that_takes_everything() -> None:
    with Receiver() as receiver:
        findings = looked(receiver.url, **{HEADERS: "authorization=Bearer%20geheim"})
    assert told(findings) == [
        ("collector.name", "ok"),
        ("collector.tcp", "ok"),
        ("collector.takes", "ok"),
    ]
    assert findings[-1].what.startswith("It takes traces, metrics and logs by http/protobuf")
    assert "with the header authorization" in findings[-1].what
    assert "geheim" not in str(findings)
    # One empty request for each signal, compressed, with the header.
    assert [request.line.split()[1] for request in receiver.requests] == [
        *("/v1/traces", "/v1/metrics", "/v1/logs")
    ]
    assert receiver.requests[0].headers["authorization"] == "Bearer geheim"


def test_a_name_that_there_is_not_is_told_before_anything_else() -> None:
    [finding] = looked("http://no-such-host.invalid:4318")
    assert (finding.about, finding.severity) == ("collector.name", Severity.PROBLEM)
    assert "no-such-host.invalid:4318 cannot be looked up" in finding.what
    assert f"{ENDPOINT}=http://no-such-host.invalid:4318" in finding.do


def test_a_port_where_nobody_listens() -> None:
    *_, finding = looked(f"http://localhost:{free_port()}")
    assert (finding.about, finding.severity) == ("collector.tcp", Severity.PROBLEM)
    assert finding.what.startswith("Nothing listens at localhost:")
    assert "localhost is the container itself" in finding.do


def test_a_certificate_that_nobody_trusts(authority: Authority) -> None:
    context = serving(authority.sign("localhost"))
    with Receiver(context=context) as receiver:
        findings = looked(receiver.url)
    assert told(findings)[-1] == ("collector.tls", "problem")
    assert "is not trusted" in findings[-1].what
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in findings[-1].do


def test_a_certificate_for_another_name(authority: Authority) -> None:
    context = serving(authority.sign("elsewhere"))
    with Receiver(context=context) as receiver:
        findings = looked(receiver.url, **{CERTIFICATE: str(authority.own.path)})
    assert told(findings)[-1] == ("collector.tls", "problem")
    assert "localhost" in findings[-1].what


def test_a_file_of_authorities_that_there_is_not(authority: Authority, tmp_path: Path) -> None:
    with Receiver(context=serving(authority.sign("localhost"))) as receiver:
        findings = looked(receiver.url, **{CERTIFICATE: str(tmp_path / "none.pem")})
    assert told(findings)[-1] == ("collector.tls", "problem")
    assert "none.pem" in findings[-1].what


@pytest.mark.parametrize(("days_on", "severity"), [(0, "warning"), (-30, "ok")])
def test_a_certificate_that_is_trusted_and_how_long(
    authority: Authority, days_on: int, severity: str
) -> None:
    """It is one of two days: seen from a month before, it lasts."""
    environ = {CERTIFICATE: str(authority.own.path)}
    with Receiver(context=serving(authority.sign("localhost"))) as receiver:
        examined = Examined(
            {ENDPOINT: receiver.url, **environ}, now=lambda: time.time() + days_on * DAY_S
        )
        findings = list(reach.check(examined))
    assert told(findings)[2:] == [("collector.tls", severity), ("collector.takes", "ok")]


def test_tls_where_there_is_none_and_the_other_way_round(authority: Authority) -> None:
    with Receiver(HANG_UP) as receiver:
        *_, finding = looked(receiver.url.replace("http:", "https:"))
    assert (finding.about, finding.severity) == ("collector.tls", Severity.PROBLEM)
    with Receiver(context=serving(authority.sign("localhost"))) as receiver:
        *_, finding = looked(receiver.url.replace("https:", "http:"))
    assert (finding.about, finding.severity) == ("collector.takes", Severity.PROBLEM)


def test_without_a_token_it_asks_for_one() -> None:
    finding = refused(response(401))
    assert finding.severity is Severity.PROBLEM
    assert finding.what == "It refuses traces, metrics and logs: HTTP 401 Unauthorized"
    assert f"set {HEADERS}=authorization=Bearer%20TOKEN" in finding.do


@pytest.mark.parametrize(
    ("status", "said"), [(401, "is not the one that the Collector knows"), (403, "may not do this")]
)
def test_a_wrong_token_is_told_from_one_without_rights(status: int, said: str) -> None:
    finding = refused(response(status), **{HEADERS: "authorization=Bearer%20geheim"})
    assert finding.severity is Severity.PROBLEM
    assert said in finding.do
    assert "geheim" not in str(finding)


@pytest.mark.parametrize(
    ("answer", "severity", "said"),
    [
        (response(404), Severity.PROBLEM, "does not take traces, metrics and logs: HTTP 404"),
        (response(503), Severity.PROBLEM, "does not take traces, metrics and logs now: HTTP 503"),
        (response(400), Severity.WARNING, "refuses an empty request for traces, metrics and logs"),
        (HANG_UP, Severity.PROBLEM, "does not take traces, metrics and logs now"),
        (b"SSH-2.0-OpenSSH\r\n", Severity.PROBLEM, "does not answer as HTTP does"),
    ],
)
def test_other_answers(answer: bytes, severity: Severity, said: str) -> None:
    finding = refused(answer)
    assert finding.severity is severity
    assert said in finding.what


def test_what_a_receiver_says_with_braces_is_shown_as_it_is() -> None:
    said = response(400, b'{"error": "no"}', {"Content-Type": "application/json"})
    assert '{"error": "no"}' in refused(said).what


def test_signals_that_are_answered_differently_are_told_apart() -> None:
    with Receiver(response(), response(404), response()) as receiver:
        findings = looked(receiver.url)
    assert [finding.what.partition(" by ")[0] for finding in findings[2:]] == [
        "It takes traces and logs",
        "It does not take metrics: HTTP 404 Not Found",
    ]


def test_a_destination_of_its_own_is_looked_at_for_itself() -> None:
    with Receiver() as first, Receiver() as second:
        own = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{second.url}/otlp/v1/logs"}
        findings = looked(first.url, **own)
    assert [about for about, _ in told(findings)].count("collector.tcp") == 2
    assert [request.line.split()[1] for request in second.requests] == ["/otlp/v1/logs"]


def test_credentials_that_leave_the_machine_without_tls_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reach, "_NOWHERE", frozenset())
    with Receiver() as receiver:
        findings = looked(receiver.url, **{HEADERS: "authorization=Bearer%20geheim"})
    assert ("collector.tls", "warning") in told(findings)


@pytest.mark.parametrize(
    "environ",
    [
        {ENDPOINT: "unix:/run/collector.sock"},
        {ENDPOINT: "http://collector:4317", "https_proxy": "http://proxy:3128"},
    ],
)
def test_where_grpc_alone_knows_the_way_it_is_only_knocked(environ: dict[str, str]) -> None:
    by_grpc = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", **environ}
    to = destination(Settings(by_grpc), "traces")
    assert reach.nearest_hop(to, by_grpc) is None


def test_by_a_proxy_the_proxy_is_looked_at() -> None:
    with Receiver() as proxy:
        findings = looked("http://collector.invalid:4318", http_proxy=proxy.url)
    assert told(findings)[-1] == ("collector.takes", "ok")
    assert "the proxy localhost" in findings[0].what
    assert proxy.requests[0].line.startswith("POST http://collector.invalid:4318/v1/traces")


def test_nothing_is_looked_for_where_nothing_is_sent() -> None:
    environ = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"
    )
    [finding] = reach.check(Examined(environ))
    assert (finding.about, finding.severity) == ("collector", Severity.NOTE)


def test_what_cannot_be_used_of_an_address_is_a_finding_and_no_line_of_a_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    [check] = [each for each in CHECKS if each.name == "collector"]
    examined = Examined({ENDPOINT: "collector:4318", HEADERS: "geheim"}, timeout_s=2.0)
    findings = list(examine(check, examined))
    said = [each for each in findings if each.about == "collector.said"]
    assert {each.what.partition(" cannot")[0] for each in said} == {
        f"{ENDPOINT}='collector:4318'",
        f"{HEADERS}: header number 1",
    }
    assert all(each.severity is Severity.WARNING and each.do for each in said)
    assert "geheim" not in str(findings)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("ahead_s", "severity", "said"),
    [
        (0, "ok", "Collector: the same time"),
        (30, "warning", "30 s ahead of the one here"),
        (-30, "warning", "30 s behind the one here"),
        (3600, "problem", "3600 s ahead of the one here"),
    ],
)
def test_a_clock_that_is_off(ahead_s: float, severity: str, said: str) -> None:
    date = formatdate(NOW + ahead_s, usegmt=True)
    with Receiver(response(404, headers={"Date": date})) as receiver:
        [finding] = clocks.check(Examined({ENDPOINT: receiver.url}, now=lambda: NOW + 0.5))
    assert finding.severity == severity
    assert said in finding.what


def test_nobody_who_tells_the_time() -> None:
    with Receiver(response(headers={"Date": "yesterday"})) as receiver:
        [finding] = clocks.check(Examined({ENDPOINT: receiver.url}))
    assert (finding.about, finding.severity) == ("clock", Severity.NOTE)


def test_a_backend_without_an_address_is_not_asked_and_nothing_is_sent() -> None:
    with Receiver() as receiver:
        findings = list(roundtrip.check(Examined({ENDPOINT: receiver.url})))
    assert {finding.severity for finding in findings} == {Severity.NOTE}
    assert "Give it by --jaeger URL or JAEGER_URL" in findings[0].do
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(404, b"{}"), "does not have it after 0 s"),
        (response(404, b"<html>"), "what answers there (404) is no Jaeger"),
        (response(500, b"broken"), "cannot be asked: it answers 500 (broken)"),
        (HANG_UP, "cannot be asked"),
    ],
)
def test_a_backend_that_does_not_have_what_was_sent(answer: bytes, said: str) -> None:
    with Receiver() as collector, Receiver(answer) as jaeger:
        examined = Examined({ENDPOINT: collector.url}, None, {"jaeger": jaeger.url}, wait_s=0.0)
        [finding] = [it for it in roundtrip.check(examined) if it.about == "backends.jaeger"]
    assert (finding.about, finding.severity) == ("backends.jaeger", Severity.PROBLEM)
    assert said in finding.what


def test_a_backend_is_not_asked_for_what_the_collector_has_not_taken() -> None:
    with Receiver(response(401)) as collector, Receiver() as jaeger:
        examined = Examined({ENDPOINT: collector.url}, None, {"jaeger": jaeger.url})
        [finding] = [it for it in roundtrip.check(examined) if it.about == "backends.jaeger"]
    assert finding.severity is Severity.NOTE
    assert "the test span was not taken (HTTP 401 Unauthorized)" in finding.what
    assert jaeger.requests == []
