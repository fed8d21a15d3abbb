"""Destinations: what the standard variables say, and what an operator hears of those that do not."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.util.re import parse_env_headers

from otel_dify.export.sending import destination as module
from otel_dify.export.sending.destination import Destination, destination
from otel_dify.export.sending.grpc import GrpcTransport
from otel_dify.export.sending.headers import headers
from otel_dify.export.sending.http import HttpTransport
from otel_dify.export.sending.tls import Tls
from otel_dify.settings import Settings

SIGNALS = ("traces", "metrics", "logs")
GRPC = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"
OWN = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"


def of(signal: str = "logs", /, **environ: str) -> Destination:
    """Read the destination of a signal."""
    return destination(Settings(environ), signal)


def test_without_variables_it_is_the_collector_on_this_host(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = of()
    assert found.protocol == "http/protobuf"
    assert found.address == "http://localhost:4318/v1/logs"
    assert found.where == "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"
    assert found.compression == "gzip"
    assert found.timeout_s == 10
    assert found.headers == {}
    assert found.tls == Tls()
    assert isinstance(found.transport(), HttpTransport)
    assert not caplog.records


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize(
    ("variable", "address", "url"),
    [
        (ALL, "http://c:4318", "http://c:4318/v1/SIGNAL"),
        (ALL, "http://c:4318/", "http://c:4318/v1/SIGNAL"),
        (ALL, "http://c/mine/", "http://c/mine/v1/SIGNAL"),
        (ALL, "http://c/mine", "http://c/mine/v1/SIGNAL"),
        (ALL, "https://c?key=1", "https://c/v1/SIGNAL?key=1"),
        (ALL, "http://[::1]:4318", "http://[::1]:4318/v1/SIGNAL"),
        (ALL, " http://c ", "http://c/v1/SIGNAL"),
        (OWN, "http://c:4318", "http://c:4318"),
        (OWN, "http://c/v1/LOGS/", "http://c/v1/LOGS/"),
        (OWN, "http://c/#part", "http://c/"),
    ],
)
def test_the_path_is_appended_to_the_common_address_only(
    signal: str, variable: str, address: str, url: str
) -> None:
    """The examples of the specification, "Endpoint URLs for OTLP/HTTP"."""
    name = variable.replace("LOGS", signal.upper())
    assert of(signal, **{name: address}).address == url.replace("SIGNAL", signal)


@pytest.mark.parametrize(
    ("endpoint", "insecure", "target", "secure"),
    [
        ("", "", "localhost:4317", False),
        ("http://c:4317", "", "c:4317", False),
        ("http://c:4317", "false", "c:4317", False),
        ("https://c:4317/", "true", "c:4317", True),
        ("https://u:p@c:4317", "", "c:4317", True),
        ("c:4317", "", "c:4317", True),
        ("c:4317", "true", "c:4317", False),
        ("10.0.0.1:4317", "true", "10.0.0.1:4317", False),
        ("[::1]:4317", "true", "[::1]:4317", False),
        ("dns:///c:4317", "true", "dns:///c:4317", False),
        ("dns://8.8.8.8/c:4317", "true", "dns://8.8.8.8/c:4317", False),
        ("unix:///run/otlp.sock", "true", "unix:///run/otlp.sock", False),
        ("unix:/run/otlp.sock", "true", "unix:/run/otlp.sock", False),
    ],
)
def test_grpc_takes_what_it_calls_a_target_and_the_scheme_decides_on_tls(
    endpoint: str, insecure: str, target: str, secure: bool
) -> None:
    found = of(**GRPC, **{ALL: endpoint, "OTEL_EXPORTER_OTLP_INSECURE": insecure})
    assert (found.address, found.secure) == (target, secure)
    assert isinstance(found.transport(), GrpcTransport)


BAD = ["c:4318", "ftp://c", "http://", "/v1/logs", "http://c:port", "http://c:99999", "http://[::1"]


@pytest.mark.parametrize("address", BAD)
def test_an_address_that_is_none_costs_one_sentence_and_the_default_is_used(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert [of(signal, **{ALL: address}).address for signal in SIGNALS] == [
        f"http://localhost:4318/v1/{signal}" for signal in SIGNALS
    ]
    [record] = caplog.records
    assert record.getMessage().startswith(f"{ALL}={address!r} cannot be used: expected an address")
    assert "Running on with http://localhost:4318" in record.getMessage()


def test_credentials_in_an_address_become_a_header_and_are_not_shown() -> None:
    environ = {ALL: "https://user:pass%40word@c:4318/x?token=secret#part"}
    for protocol in ({}, GRPC):
        found = of(**environ, **protocol)
        assert found.headers == {"authorization": "Basic dXNlcjpwYXNzQHdvcmQ="}
        assert found.where == f"{ALL}=https://***@c:4318/x?***"
        for secret in ("pass", "secret", "dXNl"):
            assert secret not in repr(found).replace("?token=secret", "")
        assert "user" not in found.address


def test_a_header_goes_before_the_credentials_of_an_address() -> None:
    environ = {ALL: "http://u:p@c", "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer x"}
    assert of(**environ).headers == {"authorization": "Bearer x"}


def test_an_address_that_is_none_is_not_shown_with_its_credentials(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for address in ("ftp://user:secret@c", "user:secret@c:4318", "http://u:secret@:1?k=secret"):
        of(**{ALL: address})
    assert len(caplog.records) == 3
    assert "secret" not in caplog.text


def test_a_signals_own_headers_replace_those_of_all() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "a=1",
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS": "b=2",
    }
    assert of("logs", **environ).headers == {"b": "2"}
    assert of("traces", **environ).headers == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        (" A = 1 ,b=2,, ", {"a": "1", "b": "2"}),
        ("a=b=c==", {"a": "b=c=="}),
        ("a=%20x%2C%3D", {"a": "x,="}),
        ("authorization=Bearer%20x", {"authorization": "Bearer x"}),
        ("authorization=Bearer x%41", {"authorization": "Bearer x%41"}),
        ("a=", {"a": ""}),
        ("%61=1", {"a": "1"}),
        ("a=1,a=2", {"a": "2"}),
    ],
)
def test_headers_are_read_as_the_stock_exporter_reads_them(
    text: str, expected: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    assert headers(text, "H", grpc=False) == expected
    assert dict(parse_env_headers(text, liberal=True)) == expected
    assert not caplog.records


NAMES = st.text("abcXYZ019!#$&'*+-.^_`|~", min_size=1)
VALUES = st.text("abc XYZ019!#$%&'()*+-./:<=>?@[]^_`{|}~")


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_any_headers_are_read_as_the_stock_exporter_reads_them(
    pairs: list[tuple[str, str]],
) -> None:
    text = ",".join(f"{name}={value}" for name, value in pairs)
    stock = dict(parse_env_headers(text, liberal=True))
    sendable = all(value.isascii() and value.isprintable() for value in stock.values())
    if sendable:
        assert headers(text, "H", grpc=False) == stock


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("secret", "expected name=value"),
        ("=secret", "its name"),
        ("na me=secret", "its name"),
        ("näme=secret", "its name"),
        ("a%0D%0Ab=secret", "its name"),
        ("a=secret%0D%0Ab:c", "its value"),
        ("a=secret%C3%A9", "its value"),
        ("a=secreté", "its value"),
        ("Content-Length=5", "content-length is set by otel_dify"),
        ("host=secret", "host is set by otel_dify"),
    ],
)
def test_a_header_that_cannot_be_sent_costs_one_sentence_without_its_text(
    pair: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"OTEL_EXPORTER_OTLP_LOGS_HEADERS": f"x=1,{pair},y=2"}
    for _ in range(2):
        assert of(**environ).headers == {"x": "1", "y": "2"}
    [record] = caplog.records
    told = record.getMessage()
    assert told.startswith("OTEL_EXPORTER_OTLP_LOGS_HEADERS: header number 2 cannot be used")
    assert why in told
    assert "secret" not in told


@pytest.mark.parametrize("name", ["a!b", "grpc-timeout"])
def test_grpc_has_fewer_names_for_headers(name: str, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": f"{name}=1,x=2"}
    assert of(**environ, **GRPC).headers == {"x": "2"}
    assert "its name is none that gRPC can send" in caplog.text
    assert len(of(**environ).headers) == 2


@pytest.mark.parametrize("with_zstd", [True, False])
def test_zstd_is_used_where_it_can_be(
    with_zstd: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "has_zstd", lambda: with_zstd)
    environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"}
    assert of(**environ).compression == ("zstd" if with_zstd else "gzip")
    assert len(caplog.records) == (0 if with_zstd else 1)


@pytest.mark.parametrize("name", ["deflate", "zstd"])
def test_grpc_has_gzip_only(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The Collector answers others with UNIMPLEMENTED, each request of them."""
    environ = {"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": name}
    assert of(**environ, **GRPC).compression == "gzip"
    [record] = caplog.records
    assert record.getMessage().startswith(
        f"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION={name!r} cannot be used: expected none or gzip"
    )


def test_a_timeout_is_in_seconds_as_the_stock_exporter_reads_it() -> None:
    assert of(OTEL_EXPORTER_OTLP_TIMEOUT="2.5").timeout_s == 2.5
    assert of(OTEL_EXPORTER_OTLP_LOGS_TIMEOUT="3").timeout_s == 3
    # Milliseconds as the specification has them: the default, and one sentence of the settings.
    assert of(OTEL_EXPORTER_OTLP_TIMEOUT="10000").timeout_s == 10


def test_a_key_without_a_certificate_costs_one_sentence(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY": "/k"}
    assert of(**environ).tls == Tls()
    [record] = caplog.records
    assert record.getMessage().startswith("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY cannot be used")


def test_the_files_for_tls_are_those_of_the_signal() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_CERTIFICATE": "/ca",
        "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE": "/ca-logs",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/me",
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": "/key",
        "REQUESTS_CA_BUNDLE": "/bundle",
    }
    assert of("logs", **environ).tls == Tls("/ca-logs", "/me", "/key")
    assert of("traces", **environ).tls == Tls("/ca", "/me", "/key")
    assert of(REQUESTS_CA_BUNDLE="/bundle").tls == Tls("/bundle")
    assert of(REQUESTS_CA_BUNDLE="/bundle", **GRPC).tls == Tls()


def test_the_processs_own_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b")
    found = of()
    assert found.proxy is None
    assert found.headers == {}
    assert sys.modules[Destination.__module__] is module
