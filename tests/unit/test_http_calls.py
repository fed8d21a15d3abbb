"""HTTP calls of HTTPX: what they are called, whom they go to, when they end, what goes with them."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import httpx
import pytest
from opentelemetry import baggage
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.sources.libraries.peers import Peers, settings_of_dify
from tests.recording import Recording

type Watch = Callable[[str], ModuleType]

INVOKE = "/plugin/2f9b1f0e-8c3c-4a9f-9c56-2d6c5d9b8e11/dispatch/llm/invoke"


class Service(BaseHTTPRequestHandler):
    """Answers in two parts, the second when it is let; keeps the headers that it got."""

    got: list[dict[str, str]]
    may_end: threading.Event
    breaks = False
    leads_to = "/here"

    def do_POST(self) -> None:
        """Answer."""
        self.got.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", self.leads_to)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"ab")
        self.may_end.wait(10)
        if not self.breaks:
            self.wfile.write(b"cd")

    do_GET = do_POST  # noqa: N815 - their names there

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[SimpleNamespace]:
    """Serve; ``url``, ``got`` (headers of each request), ``may_end`` and ``handler``."""
    handler = type("Made", (Service,), {"got": [], "may_end": threading.Event()})
    handler.may_end.set()  # type: ignore[attr-defined] # just made
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{serving.server_port}"
        yield SimpleNamespace(url=url, got=handler.got, may_end=handler.may_end, handler=handler)  # type: ignore[attr-defined] # just made
        handler.may_end.set()  # type: ignore[attr-defined] # just made
        serving.shutdown()
        thread.join()


def peers(**settings: str) -> Peers:
    """Know peers by these settings."""
    return Peers(settings.get)


# Whom a call goes to.


@pytest.mark.parametrize(
    ("peer", "path", "template"),
    [
        ("plugin-daemon", INVOKE, "/plugin/{tenant_id}/dispatch/llm/invoke"),
        (
            "plugin-daemon",
            "/plugin/t/management/install/tasks/delete_all",
            "/plugin/{tenant_id}/management/install/tasks/delete_all",
        ),
        (
            "plugin-daemon",
            "/plugin/t/management/install/tasks/7/delete",
            "/plugin/{tenant_id}/management/install/tasks/{task_id}/delete",
        ),
        ("plugin-daemon", "/plugin/t/extract-asset/", "/plugin/{tenant_id}/extract-asset"),
        ("plugin-daemon", "/plugin/t/something/new", ""),
        ("plugin-daemon", "/", ""),
        ("sandbox", "/v1/sandbox/run", "/v1/sandbox/run"),
        (
            "qdrant",
            "/collections/Vector_index_7/points/search",
            "/collections/{collection_name}/points/search",
        ),
        ("weaviate", "/v1/objects/Vector/7", "/v1/objects/{collection}/{id}"),
        ("upstash", "/query/space", "/query/{namespace}"),
        (
            "chroma",
            "/api/v2/tenants/t/databases/d/collections/c/query",
            "/api/v2/tenants/{tenant}/databases/{database}/collections/{collection_id}/query",
        ),
    ],
)
def test_a_path_of_a_known_peer_has_a_template(peer: str, path: str, template: str) -> None:
    [row] = [row for row in t.PEERS if row.name == peer]
    known = peers(**{row.addresses[0]: "http://there:7000"})
    found = known.at("there", 7000)
    assert found is not None
    assert found.peer.name == peer
    assert found.template_of(path) == template


def test_a_peer_is_found_by_host_and_port_however_its_setting_is_written() -> None:
    known = peers(
        PLUGIN_DAEMON_URL="http://Plugin_daemon:5002/base/",
        QDRANT_URL="https://qdrant.example",
        CHROMA_HOST="chroma",
        CHROMA_PORT="8000",
    )
    daemon = known.at("plugin_daemon", 5002)
    assert daemon is not None
    assert daemon.template_of("/base/plugin/t/asset/7") == "/plugin/{tenant_id}/asset/{id}"
    assert daemon.template_of("/plugin/t/asset/7") == ""
    assert known.at("qdrant.example", 443)
    assert known.at("chroma", 8000)
    assert known.at("plugin_daemon", 80) is None
    assert known.at("", 80) is None
    # Dify's own default.
    assert known.at("sandbox", 8194)


def test_settings_are_those_of_dify_where_it_has_been_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It reads files and remote sources besides its environment."""
    environ = {"PLUGIN_DAEMON_URL": "http://a:1", "QDRANT_URL": "http://b:2"}
    assert settings_of_dify(environ)("QDRANT_URL") == "http://b:2"
    dify = SimpleNamespace(PLUGIN_DAEMON_URL="http://of-a-file:3", QDRANT_URL=None)
    monkeypatch.setitem(sys.modules, "configs", SimpleNamespace(dify_config=dify))
    find = settings_of_dify(environ)
    assert find("PLUGIN_DAEMON_URL") == "http://of-a-file:3"
    assert find("QDRANT_URL") == "http://b:2"


def test_templates_are_few_and_named_once() -> None:
    for peer in t.PEERS:
        assert len(set(peer.templates)) == len(peer.templates)
        assert all(template.startswith("/") for template in peer.templates)
        assert not (peer.inside and peer.forwards)


# What it is called.


def test_a_call_of_a_known_peer_says_what_it_is(
    watched: Watch,
    recorded: Recording,
    service: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLUGIN_DAEMON_URL", service.url)
    watched("httpx")
    with httpx.Client() as client:
        client.post(f"{service.url}{INVOKE}?key=S3CRET")
        client.post(f"{service.url}/plugin/t/something/new")
    known = recorded.attributes("POST /plugin/{tenant_id}/dispatch/llm/invoke")
    assert known[t.PEER.key] == known[t.PEER_BEFORE.key] == "plugin-daemon"
    assert known[t.URL_TEMPLATE.key] == "/plugin/{tenant_id}/dispatch/llm/invoke"
    assert known[t.URL_FULL.key] == f"{service.url}{INVOKE}"
    assert known[t.SERVER_ADDRESS.key] == "127.0.0.1"
    assert recorded.attributes("POST plugin-daemon")[t.PEER.key] == "plugin-daemon"


def test_an_unknown_peer_has_the_method_alone_whatever_its_path(
    watched: Watch, recorded: Recording, service: SimpleNamespace
) -> None:
    watched("httpx")
    address = service.url.replace("://", "://who:S3CRET@")
    with httpx.Client() as client:
        client.get(f"{address}{INVOKE}")
        client.request("SHOUT", service.url)
    known = recorded.attributes("GET")
    assert not known.keys() & {t.PEER.key, t.PEER_BEFORE.key, t.URL_TEMPLATE.key}
    assert known[t.URL_FULL.key] == f"{service.url}{INVOKE}"
    assert recorded.attributes("HTTP")[t.HTTP_METHOD.key] == "_OTHER"


def test_a_call_through_the_proxy_has_the_proxy_for_its_peer(
    watched: Watch,
    recorded: Recording,
    service: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its target is whatever somebody wrote into a node."""
    monkeypatch.setenv("SSRF_PROXY_HTTP_URL", service.url)
    watched("httpx")
    with httpx.Client(mounts={"http://": httpx.HTTPTransport(proxy=service.url)}) as client:
        assert client.get("http://target.example/a/path").text == "abcd"
    known = recorded.attributes("GET ssrf-proxy")
    assert known[t.PEER.key] == "ssrf-proxy"
    assert known[t.SERVER_ADDRESS.key] == "target.example"
    assert known[t.SERVER_PORT.key] == 80


def test_each_of_several_requests_is_a_call(
    watched: Watch, recorded: Recording, service: SimpleNamespace
) -> None:
    watched("httpx")
    with httpx.Client(follow_redirects=True) as client:
        client.get(f"{service.url}/moved")
    assert [(s.attributes or {})[t.HTTP_STATUS.key] for s in recorded.spans] == [302, 200]
    sent = [headers["traceparent"].split("-")[2] for headers in service.got]
    assert sent == [f"{span.context.span_id:016x}" for span in recorded.spans]


# When it ends.


def test_a_streamed_call_ends_with_its_last_byte(
    watched: Watch, recorded: Recording, service: SimpleNamespace
) -> None:
    watched("httpx")
    service.may_end.clear()
    with httpx.Client() as client, client.stream("GET", service.url) as answer:
        parts = answer.iter_raw()
        assert next(parts) == b"ab"
        assert recorded.spans == []
        service.may_end.set()
        assert list(parts) == [b"cd"]
        assert len(recorded.spans) == 1
    assert recorded.attributes("GET")[t.HTTP_STATUS.key] == 200
    assert len(recorded.spans) == 1


def test_a_call_that_is_closed_or_dropped_before_its_end_ends_once(
    watched: Watch, recorded: Recording, service: SimpleNamespace
) -> None:
    watched("httpx")
    with httpx.Client() as client:
        with client.stream("GET", service.url):
            pass
        assert len(recorded.spans) == 1
        answer = client.send(client.build_request("GET", service.url), stream=True)
        del answer
        gc.collect()
        assert len(recorded.spans) == 2


def test_a_body_that_breaks_off_is_a_failed_call(
    watched: Watch, recorded: Recording, service: SimpleNamespace
) -> None:
    watched("httpx")
    service.handler.breaks = True
    with httpx.Client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get(service.url)
    known = recorded.attributes("GET")
    assert known[t.ERROR_TYPE.key] == "RemoteProtocolError"
    assert known[t.HTTP_STATUS.key] == 200


def test_asynchronous_calls_are_the_same(
    watched: Watch, recorded: Recording, service: SimpleNamespace
) -> None:
    watched("httpx")

    async def call() -> None:
        async with httpx.AsyncClient() as client:
            assert (await client.get(service.url)).text == "abcd"
            async with client.stream("POST", service.url) as answer:
                assert [part async for part in answer.aiter_raw()]
            with pytest.raises(httpx.UnsupportedProtocol):
                await client.get("ftp://nowhere")

    asyncio.run(call())
    assert recorded.tree() == "GET\nPOST\nGET [ERROR]"
    assert len({headers["traceparent"] for headers in service.got}) == 2


def test_what_is_suppressed_or_excluded_is_no_call(
    watched: Watch,
    recorded: Recording,
    service: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_HTTPX_EXCLUDED_URLS", "/health$")
    watched("httpx")
    with httpx.Client() as client:
        client.get(f"{service.url}/health")
        with suppress_http_instrumentation():
            client.get(service.url)
        assert recorded.spans == []
        client.get(f"{service.url}/healthy")
    assert len(recorded.spans) == 1
    assert ["traceparent" in headers for headers in service.got] == [False, False, True]


# What goes with it.


def test_baggage_goes_to_peers_inside_the_deployment_and_to_nobody_else(
    watched: Watch,
    recorded: Recording,
    service: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CODE_EXECUTION_ENDPOINT", service.url)
    watched("httpx")
    run = start(t.RUN, parent=baggage.set_baggage("of.the.caller", "1"))
    with run.active(), httpx.Client() as client:
        client.post(f"{service.url}/v1/sandbox/run")
        client.get(service.url.replace("127.0.0.1", "localhost"))
    run.end()
    inside, outside = service.got
    assert "of.the.caller=1" in inside["baggage"]
    assert "baggage" not in outside
    assert all("traceparent" in headers for headers in (inside, outside))
    assert len(recorded.spans) == 3


def test_a_peer_inside_learns_whose_run_and_node_it_serves_and_no_other_does(
    watched: Watch,
    recorded: Recording,
    service: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLUGIN_DAEMON_URL", service.url)
    watched("httpx")
    run = start(t.RUN, {t.APP_ID: "app", t.APP_NAME: "Secret plans", t.RUN_ID: "run"})
    node = start(t.NODE, {t.NODE_ID: "node", t.USER_ID: "ada@example"}, parent=run.context)
    with node.active(), httpx.Client(follow_redirects=True) as client:
        client.post(f"{service.url}{INVOKE}", headers={"baggage": "sentry-trace_id=7"})
        client.get(service.url.replace("127.0.0.1", "localhost"))
    node.end()
    run.end()
    inside, outside = service.got
    members = dict(member.split("=") for member in inside["baggage"].split(","))
    assert members == {
        "sentry-trace_id": "7",
        "dify.app_id": "app",
        "dify.workflow.run_id": "run",
        "dify.node.id": "node",
    }
    assert "baggage" not in outside
    assert len(recorded.spans) == 4


def test_a_redirect_takes_no_baggage_outside(
    watched: Watch,
    recorded: Recording,
    service: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """HTTPX hands the headers of a request on to where its answer leads."""
    monkeypatch.setenv("PLUGIN_DAEMON_URL", service.url)
    service.handler.leads_to = service.url.replace("127.0.0.1", "localhost") + "/there"
    watched("httpx")
    run = start(t.RUN, {t.RUN_ID: "run"})
    with run.active(), httpx.Client(follow_redirects=True) as client:
        client.get(f"{service.url}/moved")
        client.get(f"{service.url}/moved", headers={"baggage": "a=1"})
    run.end()
    passed = [headers.get("baggage") for headers in service.got]
    assert passed == ["dify.workflow.run_id=run", None, "a=1,dify.workflow.run_id=run", "a=1"]
    assert len(recorded.spans) == 5
