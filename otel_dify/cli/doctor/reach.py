"""The Collector: its name, its port, its TLS, and whether it takes what Dify would send."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, Severity, note, ok, problem, warning
from otel_dify.export.exporters import is_ours
from otel_dify.export.sending.connecting import addresses_of, connect
from otel_dify.export.sending.destination import Destination, destination
from otel_dify.export.sending.exchange import Exchange
from otel_dify.export.sending.failures import failure
from otel_dify.export.sending.outcome import Delivered, Denied, Outcome, Refused
from otel_dify.export.sending.tls import Unusable
from otel_dify.settings import ENDPOINT, HEADERS, SIGNALS, Settings

_PORTS = {"http": 80, "https": 443}
# https://github.com/grpc/grpc/blob/master/doc/environment_variables.md
_PROXIES_OF_GRPC = ("grpc_proxy", "https_proxy", "http_proxy")
_SOON_S = 14 * 86_400
_UNKNOWN = ("HTTP 401", "gRPC UNAUTHENTICATED")
_FORBIDDEN = ("HTTP 403", "gRPC PERMISSION_DENIED")
_NOWHERE = frozenset({"localhost", "127.0.0.1", "::1"})


def check(examined: Examined) -> Iterator[Finding]:
    """Go the way to each destination, step by step, and knock there with an empty request.

    OTLP allows a request without any data, which is answered like any other and leaves no trace.
    """
    settings = examined.settings
    signals = [signal for signal in SIGNALS if is_ours(settings, signal)]
    if not signals:
        yield note(
            "collector",
            "Nothing is sent by OTLP, so there is no Collector to look for",
            "Take OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER away to send "
            "to one",
        )
    if signals and not any(name.endswith("_ENDPOINT") for name in _named(examined)):
        yield note(
            "collector.endpoint",
            f"{ENDPOINT.name} is not set, so that everything goes to this very machine",
            f"Set {ENDPOINT.name} to where the Collector is, such as http://otel-collector:4318",
        )
    reached: dict[tuple[str, int, bool], bool] = {}
    knocked: dict[_Answered, list[str]] = {}
    for signal in signals:
        to = destination(settings, signal)
        near = nearest_hop(to, examined.environ)
        if near is None:
            yield note(
                "collector.address",
                f"gRPC finds its own way to {to.address}, by a proxy or a scheme of its own: name, "
                "port and TLS are not looked at one by one",
                "Nothing needs to be done if the request below is taken",
            )
        else:
            hop = near.hostname or "", near.port or _PORTS[near.scheme], near.scheme == "https"
            if hop not in reached:
                found = list(_way(to, near, examined))
                yield from found
                reached[hop] = all(each.severity is not Severity.PROBLEM for each in found)
            if not reached[hop]:
                continue
        answer = answered(to, knock(to, examined.timeout_s), settings)
        knocked.setdefault(answer, []).append(signal)
    for answer, of in knocked.items():
        what = answer.what.format(signals=listed(of))
        yield Finding("collector.takes", answer.severity, what, answer.do)


def listed(names: Sequence[str]) -> str:
    """Write names one after the other: a, b and c."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _named(examined: Examined) -> list[str]:
    return [
        name
        for name in examined.environ
        if name.startswith("OTEL_EXPORTER_OTLP_") and examined.has(name)
    ]


def nearest_hop(to: Destination, environ: Mapping[str, str]) -> SplitResult | None:
    """Return what is connected to on the way: the proxy where there is one.

    Args:
        to: where requests go.
        environ: the variables; gRPC reads its proxy from them by itself.

    Returns:
        An address with a scheme of ``http`` or ``https``; none where gRPC alone knows the way.
    """
    if to.proxy is not None:
        return to.proxy
    if to.protocol != "grpc":
        return urlsplit(to.address)
    if any(environ.get(name) for name in _PROXIES_OF_GRPC):
        return None
    try:
        parts = urlsplit(f"{'https' if to.secure else 'http'}://{to.address}")
    except ValueError:
        return None
    return parts if parts.hostname and _port_of(parts) and not parts.path else None


def _port_of(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return None


def _way(to: Destination, near: SplitResult, examined: Examined) -> Iterator[Finding]:
    """Look the name up, connect, and speak TLS; each step only if the one before it was well."""
    host, port = near.hostname or "", near.port or _PORTS[near.scheme]
    seconds = examined.timeout_s
    proxy = "the proxy " if to.proxy is not None else ""
    exchange = Exchange(time.monotonic() + seconds)
    try:
        found = list(dict.fromkeys(each[4][0] for each in addresses_of(host, port, exchange)))
    except OSError as error:
        what = _sentence(failure(error, near, seconds).reason)
        yield problem("collector.name", what, _no_name(to, host))
        return
    if found != [host]:
        yield ok("collector.name", f"{proxy}{host} is {' and '.join(map(str, found))}".strip())
    began = time.monotonic()
    try:
        made = connect(host, port, Exchange(began + seconds))
    except OSError as error:
        yield problem(
            "collector.tcp", _sentence(failure(error, near, seconds).reason), _no_port(to, host)
        )
        return
    took_ms = (time.monotonic() - began) * 1000
    with made:
        yield ok("collector.tcp", f"{proxy}{host}:{port} accepts connections ({took_ms:.1f} ms)")
        if near.scheme == "https":
            yield _speak_tls(made, to, near, examined)
        elif to.proxy is None and host not in _NOWHERE and _has_secret(to):
            yield warning(
                "collector.tls",
                f"Credentials go to {host} without TLS, where whoever is in between can read them",
                "Use https:// where the way to the Collector leaves the machine or its private "
                "network",
            )


def _has_secret(to: Destination) -> bool:
    return bool(to.headers.keys() - {"user-agent"})


def _speak_tls(
    made: socket.socket, to: Destination, near: SplitResult, examined: Examined
) -> Finding:
    about, at = "collector.tls", f"{near.hostname}:{near.port or _PORTS[near.scheme]}"
    try:
        context = to.tls.context()
        if to.protocol == "grpc":
            context.set_alpn_protocols(["h2"])
        made.settimeout(examined.timeout_s)
        with context.wrap_socket(made, server_hostname=near.hostname) as talking:
            certificate, version = talking.getpeercert() or {}, talking.version()
    except (OSError, Unusable) as error:
        what, hint = _apart(failure(error, near, examined.timeout_s).reason)
        if hint.endswith("?"):
            hint += f" If not, write http:// in {to.where.partition('=')[0]}"
        return problem(
            about,
            _sentence(what),
            hint or "Look at the Collector's tls settings and at OTEL_EXPORTER_OTLP_CERTIFICATE",
        )
    until = certificate.get("notAfter")
    left_s = ssl.cert_time_to_seconds(str(until)) - examined.now() if until else _SOON_S
    if left_s < _SOON_S:
        return warning(
            about,
            f"{at} speaks {version}, and its certificate ends in {left_s / 86_400:.0f} days",
            "Renew the Collector's certificate before that: afterwards nothing is sent",
        )
    return ok(about, f"{at} speaks {version}, and its certificate is trusted until {until}")


def knock(to: Destination, timeout_s: float) -> Outcome:
    """Send a request with nothing in it.

    Args:
        to: where to.
        timeout_s: seconds that it may take.
    """
    transport = to.transport()
    try:
        return transport.send(b"", timeout_s)
    finally:
        transport.close()


class _Answered(NamedTuple):
    """What an answer means, the same for every signal that got it.

    Attributes:
        severity: how much it matters.
        what: what happened, with a place for the signals.
        do: what to do about it.
    """

    severity: Severity
    what: str
    do: str = ""


def answered(to: Destination, outcome: Outcome, settings: Settings) -> _Answered:
    """Tell what an answer to an empty request means.

    Args:
        to: who has answered.
        outcome: what came of it.
        settings: those that say where it goes.
    """
    if isinstance(outcome, Delivered):
        asked = sorted(to.headers.keys() - {"user-agent"})
        shown = f", with the header {listed(asked)}" if asked else ""
        return _Answered(
            Severity.OK, f"It takes {{signals}} by {to.protocol} ({_braced(to.where)}{shown})"
        )
    what, hint = _apart(outcome.reason)
    said = _braced(what)
    if what.startswith((*_UNKNOWN, *_FORBIDDEN)):
        do = _no_access(to, what, settings)
        return _Answered(Severity.PROBLEM, f"It refuses {{signals}}: {said}", do)
    if isinstance(outcome, Denied):
        do = f"{hint or 'Check the address'} ({to.where})"
        return _Answered(Severity.PROBLEM, f"It does not take {{signals}}: {said}", do)
    if isinstance(outcome, Refused):
        return _Answered(
            Severity.WARNING,
            f"It can be reached, and refuses an empty request for {{signals}}: {said}",
            "See whether the test data below arrive; if not, look into the Collector's log",
        )
    do = hint or (
        "See whether it is a Collector that listens there, and look into its log; Dify keeps what "
        "it records in its journals"
    )
    return _Answered(Severity.PROBLEM, f"It does not take {{signals}} now: {said}", do)


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _no_access(to: Destination, what: str, settings: Settings) -> str:
    variable = settings.deciding(HEADERS, to.signal)
    if "authorization" not in to.headers:
        return (
            f"It asks for credentials: set {variable}=authorization=Bearer%20TOKEN, with the token "
            "that the Collector knows"
        )
    if what.startswith(_FORBIDDEN):
        return f"The token in {variable} is known there and may not do this: ask for its rights"
    return (
        f"The token in {variable} is not the one that the Collector knows: compare both, and write "
        "a space in it as %20"
    )


def _no_name(to: Destination, host: str) -> str:
    return (
        f"Check the spelling in {to.where}, and that {host} is a service of the same compose "
        "network, or a name that the DNS of this machine or container knows"
    )


def _no_port(to: Destination, host: str) -> str:
    inside = "; in a container, localhost is the container itself" if host in _NOWHERE else ""
    return (
        f"Start the Collector, or set {to.where.partition('=')[0]} to where it listens "
        f"(4318 for http/protobuf, 4317 for grpc){inside}"
    )


def _apart(reason: str) -> tuple[str, str]:
    """Part what happened from what to do about it."""
    what, _, hint = reason.partition("; ")
    return what, _sentence(hint)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
