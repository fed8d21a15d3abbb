"""Proxies: which one the environment names, and what goes through it."""

from __future__ import annotations

import ssl
from urllib.parse import urlsplit

import pytest

from otel_dify.export.sending.outcome import Delivered, Denied, Retry
from otel_dify.export.sending.proxies import proxy_for
from tests.unit.sending.certificates import Authority, serving
from tests.unit.sending.conftest import To
from tests.unit.sending.proxy import Proxy
from tests.unit.sending.receiver import Receiver, response, trickling

BODY = b"the bytes of a request"
TIMEOUT_S = 20.0
ANY = {"http_proxy": "http://h:1", "https_proxy": "http://s:2"}
pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("address", "environ", "proxy"),
    [
        ("http://c:4318", {}, None),
        ("http://c:4318", ANY, "http://h:1"),
        ("https://c:4318", ANY, "http://s:2"),
        ("http://c", {"HTTP_PROXY": "http://h:1"}, "http://h:1"),
        ("http://c", {"HTTP_PROXY": "http://no:1", "http_proxy": "http://h:1"}, "http://h:1"),
        ("http://c", {"HTTP_PROXY": "http://h:1", "REQUEST_METHOD": "GET"}, None),
        ("http://c", {"https_proxy": "http://s:2"}, None),
        ("http://c", {"all_proxy": "http://a:3"}, "http://a:3"),
        ("https://c", {"ALL_PROXY": "http://a:3"}, "http://a:3"),
        ("http://c", {"http_proxy": "h:1"}, "http://h:1"),
        ("http://c", {"http_proxy": "  "}, None),
        ("http://c", ANY | {"no_proxy": "*"}, None),
        ("http://c", ANY | {"no_proxy": "a, C ,b"}, None),
        ("http://c", ANY | {"NO_PROXY": "c"}, None),
        ("http://c.d.e", ANY | {"no_proxy": "d.e"}, None),
        ("http://c.d.e", ANY | {"no_proxy": ".d.e"}, None),
        ("http://c.d.e", ANY | {"no_proxy": "*.d.e"}, None),
        ("http://c.d.e.", ANY | {"no_proxy": "d.e"}, None),
        ("http://d.e", ANY | {"no_proxy": ".d.e"}, None),
        ("http://xd.e", ANY | {"no_proxy": "d.e"}, "http://h:1"),
        ("http://c", ANY | {"no_proxy": ",,"}, "http://h:1"),
        ("http://c:4318", ANY | {"no_proxy": "c:4318"}, None),
        ("http://c:4318", ANY | {"no_proxy": "c:4317"}, "http://h:1"),
        ("http://c", ANY | {"no_proxy": "c:80"}, None),
        ("https://c", ANY | {"no_proxy": "c:443"}, None),
        ("http://10.1.2.3", ANY | {"no_proxy": "10.0.0.0/8"}, None),
        ("http://11.1.2.3", ANY | {"no_proxy": "10.0.0.0/8"}, "http://h:1"),
        ("http://10.1.2.3", ANY | {"no_proxy": "10.1.2.3"}, None),
        ("http://[::1]:4318", ANY | {"no_proxy": "::1"}, None),
        ("http://[::1]:4318", ANY | {"no_proxy": "[::1]:4318"}, None),
        ("http://[fd00::1]", ANY | {"no_proxy": "fd00::/8"}, None),
    ],
)
def test_which_proxy_leads_to_an_address(
    address: str, environ: dict[str, str], proxy: str | None
) -> None:
    found = proxy_for(urlsplit(address), environ)
    assert (found.geturl() if found else None) == proxy


@pytest.mark.parametrize("proxy", ["socks5://u:secret@h:1080", "http://", "http://h:port", "h:0"])
def test_a_proxy_that_cannot_be_used_costs_one_sentence(
    proxy: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert proxy_for(urlsplit("http://c"), {"HTTP_PROXY": proxy}) is None
    [record] = caplog.records
    assert record.getMessage().startswith("HTTP_PROXY='")
    assert "Running on without a proxy" in record.getMessage()
    assert "secret" not in record.getMessage()


def test_a_request_is_forwarded(to: To) -> None:
    with Receiver() as receiver, Proxy() as proxy:
        transport = to(f"http://collector:{receiver.port}", HTTP_PROXY=proxy.url)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
    line = f"POST http://collector:{receiver.port}/v1/traces HTTP/1.1"
    assert [request.line for request in proxy.requests] == [line] * 2
    assert proxy.requests[0].headers["host"] == f"collector:{receiver.port}"
    assert proxy.accepted == 1
    assert receiver.requests[0].headers["via"] == "proxy"


def test_a_receiver_that_no_proxy_names_is_gone_to_directly(to: To) -> None:
    with Receiver() as receiver, Proxy() as proxy:
        transport = to(receiver.url, HTTP_PROXY=proxy.url, NO_PROXY="localhost")
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
    assert (proxy.accepted, receiver.accepted) == (0, 1)


@pytest.fixture
def secure(authority: Authority) -> ssl.SSLContext:
    """Return a context of a server, with a certificate for ``localhost``."""
    return serving(authority.sign("localhost"))


@pytest.fixture
def ca(authority: Authority) -> dict[str, str]:
    """Return what makes us trust it."""
    return {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.own.path)}


def test_a_tunnel_is_made_for_tls(to: To, secure: ssl.SSLContext, ca: dict[str, str]) -> None:
    """The proxy sees neither headers nor body."""
    with Receiver(context=secure) as receiver, Proxy() as proxy:
        transport = to(receiver.url, HTTPS_PROXY=proxy.url, **ca)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
        transport.close()
    [request] = proxy.requests
    assert request.line.startswith(f"CONNECT localhost:{receiver.port} HTTP/1.")
    assert request.body == b""
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_may_be_spoken_to_by_tls(
    to: To, secure: ssl.SSLContext, ca: dict[str, str], scheme: str
) -> None:
    context = secure if scheme == "https" else None
    with Receiver(context=context) as receiver, Proxy(context=secure) as proxy:
        variable = f"{scheme}_proxy"
        transport = to(receiver.url, **{variable: proxy.url}, **ca)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
        transport.close()
    assert proxy.accepted == 1
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_gets_its_credentials_and_the_receiver_does_not(
    to: To, secure: ssl.SSLContext, ca: dict[str, str], scheme: str
) -> None:
    context = secure if scheme == "https" else None
    with Receiver(context=context) as receiver, Proxy(authorization="Basic dTpwQA==") as proxy:
        url = proxy.url.replace("://", "://u:p%40@")
        transport = to(receiver.url, **{f"{scheme}_proxy": url}, **ca)
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
        transport.close()
    assert "proxy-authorization" not in receiver.requests[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_credentials_denies(to: To, scheme: str) -> None:
    with Proxy(authorization="Basic x") as proxy:
        transport = to(f"{scheme}://collector", **{f"{scheme}_proxy": proxy.url})
        outcome = transport.send(BODY, TIMEOUT_S)
    assert isinstance(outcome, Denied)
    assert "407" in outcome.reason


def test_a_tunnel_that_is_not_made_is_told(to: To) -> None:
    with Proxy(answer=response(502, said="Bad Gateway")) as proxy:
        outcome = to("https://collector", https_proxy=proxy.url).send(BODY, TIMEOUT_S)
    assert outcome == Retry(
        f"the connection to localhost:{proxy.port} failed "
        "(Tunnel connection failed: 502 Bad Gateway)"
    )


def test_a_proxy_that_answers_byte_by_byte_for_ever_is_left(to: To) -> None:
    proxy: Proxy
    with Proxy(answer=trickling(lambda: proxy, b"HTTP/1.1 200 OK\r\nX: ", b"x")) as proxy:
        outcome = to("https://collector", https_proxy=proxy.url).send(BODY, 0.3)
    assert isinstance(outcome, Retry)
    assert outcome.reason == f"localhost:{proxy.port} has not answered within 0.3 s"
