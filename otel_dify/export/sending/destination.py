"""Where a signal's requests go, and how: read from the standard variables of the OTLP exporter.

OpenTelemetry's specification, "OpenTelemetry Protocol Exporter" (protocol/exporter.md). A value
that cannot be used costs one sentence, and its default is used. Nothing is imported here, and no
file is read, that must wait for gevent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from otel_dify import settings as s
from otel_dify.export.sending.addresses import basic, masked, without_credentials
from otel_dify.export.sending.compression import has_zstd
from otel_dify.export.sending.grpc import GrpcTransport
from otel_dify.export.sending.headers import headers
from otel_dify.export.sending.http import HttpTransport
from otel_dify.export.sending.outcome import Transport
from otel_dify.export.sending.proxies import proxy_for
from otel_dify.export.sending.tls import Tls
from otel_dify.guard import say_once

_DEFAULTS = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the requests of one signal go.

    Attributes:
        signal: ``traces``, ``metrics`` or ``logs``.
        protocol: ``http/protobuf`` or ``grpc``.
        address: for HTTP the whole URL, without credentials; for gRPC what it calls a target.
        where: the same in the operator's words: the variable that says so and what it says,
            credentials masked.
        headers: sent with every request, names in lower case.
        compression: ``none``, ``gzip``, ``deflate`` or ``zstd``.
        timeout_s: seconds that one request may take.
        secure: whether by TLS.
        tls: files for that.
        proxy: what leads there by HTTP; gRPC reads the process's own environment for it.
    """

    signal: str
    protocol: str
    address: str
    where: str
    headers: dict[str, str] = field(repr=False)
    compression: str
    timeout_s: float
    secure: bool
    tls: Tls
    proxy: SplitResult | None = field(repr=False)

    def transport(self) -> Transport:
        """Make what sends there; it connects with the first request."""
        if self.protocol == "grpc":
            return GrpcTransport(
                self.address,
                self.signal,
                headers=self.headers,
                compression=self.compression,
                tls=self.tls if self.secure else None,
            )
        return HttpTransport(
            self.address,
            headers=self.headers,
            compression=self.compression,
            tls=self.tls,
            proxy=self.proxy,
        )


def destination(settings: s.Settings, signal: str) -> Destination:
    """Read where the requests of a signal go.

    Args:
        settings: whose environment says so.
        signal: ``traces``, ``metrics`` or ``logs``.
    """
    protocol = settings.protocol(signal)
    grpc = protocol == "grpc"
    variable, parts = _endpoint(settings, signal)
    wanted = headers(
        settings.of(s.HEADERS, signal), settings.deciding(s.HEADERS, signal), grpc=grpc
    )
    if credentials := basic(parts):
        wanted.setdefault("authorization", credentials)
    shown = f"{variable}={masked(parts.geturl())}"
    if not grpc and variable == s.ENDPOINT.name:
        parts = parts._replace(path=f"{parts.path.removesuffix('/')}/v1/{signal}")
    bare = without_credentials(parts)
    by_url = parts.scheme in {"http", "https"}
    return Destination(
        signal=signal,
        protocol=protocol,
        address=bare.netloc if grpc and by_url else bare.geturl(),
        where=shown,
        headers=wanted,
        compression=_compression(settings, signal),
        timeout_s=settings.of(s.TIMEOUT, signal),
        secure=parts.scheme == "https" if by_url else not settings.of(s.INSECURE, signal),
        tls=_tls(settings, signal),
        proxy=None if grpc else proxy_for(bare, settings.environ),
    )


def _endpoint(settings: s.Settings, signal: str) -> tuple[str, SplitResult]:
    """Return the variable that decides and its address, or the default where that is none."""
    variable, address = settings.endpoint(signal)
    protocol = settings.protocol(signal)
    try:
        parts = urlsplit(address.strip())
        by_url = parts.scheme in {"http", "https"}
        if by_url and parts.hostname and parts.port != 0:
            return variable, parts
        # gRPC takes `host:port` and schemes of its own.
        if protocol == "grpc" and not by_url and address.strip():
            return variable, SplitResult("", "", address.strip(), "", "")
    except ValueError:  # said below
        pass
    default = _DEFAULTS[protocol]
    say_once(
        f"{variable}={masked(address)!r} cannot be used: expected an address such as "
        f"http://otel-collector:4318. Running on with {default}; set it right and restart"
    )
    return s.ENDPOINT.name, urlsplit(default)


def _compression(settings: s.Settings, signal: str) -> str:
    wanted = settings.of(s.COMPRESSION, signal)
    if settings.protocol(signal) == "grpc" and wanted not in {"none", "gzip"}:
        # The Collector answers deflate with UNIMPLEMENTED, and gRPC for Python has no zstd.
        why = "expected none or gzip with gRPC"
    elif wanted == "zstd" and not has_zstd():
        why = "expected the package zstandard, or Python 3.14"
    else:
        return wanted
    say_once(
        f"{settings.deciding(s.COMPRESSION, signal)}={wanted!r} cannot be used: {why}. "
        "Running on with gzip; set it right and restart"
    )
    return "gzip"


def _tls(settings: s.Settings, signal: str) -> Tls:
    """Return the files for TLS; ``requests`` reads its own variables too, so the stock one does."""
    environ = settings.environ
    http = settings.protocol(signal) != "grpc"
    requests_has = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or ""
    authorities = settings.of(s.CERTIFICATE, signal) or (requests_has if http else "")
    certificate, key = settings.of(s.CLIENT_CERTIFICATE, signal), settings.of(s.CLIENT_KEY, signal)
    if key and not certificate:
        say_once(
            f"{settings.deciding(s.CLIENT_KEY, signal)} cannot be used: expected "
            f"{s.CLIENT_CERTIFICATE.name} beside it. Running on without both; set it right and "
            "restart"
        )
    return Tls(authorities, certificate, key if certificate else "")
