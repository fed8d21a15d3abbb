"""What the plugin daemon sends: below the calls of Dify it is in their trace, clean; else nowhere.

`plugin-daemon.json` is what daemon 0.6.10 sent on a run of a model and a tool with a call back to
Dify, with other values. What the daemon does not do today, such as a query below a request, is made
here of the same spans.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from collector.native.layout import Layout, Ports
from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import Jaeger, Prometheus, attributes, wait_until
from collector.native.stack import Stack
from otel_dify.table import DB_STATEMENT

RECORDED = Path(__file__).parent / "plugin-daemon.json"
DROP_IN = COLLECTOR_FOLDER / "drop-ins" / "plugin-daemon.yaml"
# A backend that an operator has added, as drop-ins/README.md says: it must get nothing else.
ANOTHER = """
exporters:
  file/another: {path: %s, flush_interval: 100ms}
service:
  pipelines:
    traces/another: {receivers: [otlp], exporters: [file/another]}
    metrics/another: {receivers: [otlp], exporters: [file/another]}
"""
TRACE = "1" * 32
CANARY = "canary"
GIN, HTTP, REDIS, SQL = "otelgin", "otelhttp", "redisotel", "gorm"


def pairs(**values: str | int) -> list[dict[str, Any]]:
    """Attributes in OTLP's JSON; `__` stands for a dot."""
    return [
        {
            "key": key.replace("__", "."),
            "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
        }
        for key, value in values.items()
    ]


@dataclass
class Daemon:
    """What the daemon sends, and what became of it."""

    stack: Stack
    another: Path
    _sent: int = field(default=0, init=False)

    def post(self, signal: str, body: dict[str, Any]) -> None:
        """Send one request as the daemon does; returns when it is acknowledged."""
        url = f"{self.stack.layout.plugin_daemon}/v1/{signal}"
        httpx.post(url, json=body).raise_for_status()

    def request(self, scope: str, **changed: Any) -> dict[str, Any]:
        """Send a span of a scope with changes in a trace of its own; returns what came out of it.

        It is below a request, and lies beside a call to Dify by which its end is known.
        """
        self._sent += 1
        trace, of_request = f"{self._sent:032x}", f"{self._sent:016x}"
        ids = {"traceId": trace, "parentSpanId": of_request}
        span = recorded(scope) | ids | {"spanId": f"{2**32 + self._sent:016x}"} | changed
        server = recorded(GIN) | ids | {"spanId": of_request, "parentSpanId": "a" * 16}
        by_scope = {GIN: [server]}
        by_scope.setdefault(scope, []).append(span)
        self.post("traces", envelope(by_scope))
        spans = wait_until(lambda: self.spans(trace), what="trace")
        found: list[dict[str, Any]] = [s for s in spans if s["spanId"] == span["spanId"]]
        return found[0] | {"attributes": attributes(found[0]["attributes"])} if found else {}

    def lines(self) -> list[dict[str, Any]]:
        """What the other backend got."""
        text = self.another.read_text() if self.another.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def spans(self, trace: str = "") -> list[dict[str, Any]]:
        """The spans that the other backend got, of one trace or of all."""
        return [
            span
            for line in self.lines()
            for of_resource in line.get("resourceSpans", ())
            for of_scope in of_resource["scopeSpans"]
            for span in of_scope["spans"]
            if trace in {"", span["traceId"]}
        ]


def envelope(by_scope: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """A request with the daemon's resource; scopes are named by what is in their names."""
    body: dict[str, Any] = json.loads(RECORDED.read_text())
    for of_scope in body["resourceSpans"][0]["scopeSpans"]:
        found = [spans for name, spans in by_scope.items() if name in of_scope["scope"]["name"]]
        of_scope["spans"] = found[0] if found else []
    return body


def recorded(scope: str) -> dict[str, Any]:
    """The first of the recorded spans of a scope."""
    scopes = json.loads(now(RECORDED.read_text()))["resourceSpans"][0]["scopeSpans"]
    found: dict[str, Any] = next(s for s in scopes if scope in s["scope"]["name"])["spans"][0]
    return copy.deepcopy(found)


def now(text: str) -> str:
    """Recorded spans begin in one second: let it be the present one."""
    return text.replace('"1800000000', f'"{int(time.time())}')


def of_dify() -> dict[str, Any]:
    """Dify's half of the recorded trace: two calls to the daemon, and the request between them."""
    named = {
        "dify-worker": [("aa", "", "POST /plugin/{tenant_id}/dispatch/tool/invoke", 3)],
        "dify-api": [
            ("ab", "12", "POST /inner/api/invoke/llm", 2),
            ("ac", "ab", "POST /plugin/{tenant_id}/dispatch/llm/invoke", 3),
        ],
    }
    ns = time.time_ns()
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": pairs(service__name=service)},
                "scopeSpans": [
                    {
                        "scope": {"name": "otel_dify"},
                        "spans": [
                            {
                                "traceId": TRACE,
                                "spanId": span * 8,
                                "parentSpanId": above * 8,
                                "name": name,
                                "kind": kind,
                                "startTimeUnixNano": str(ns),
                                "endTimeUnixNano": str(ns + 250_000_000),
                            }
                            for span, above, name, kind in spans
                        ],
                    }
                ],
            }
            for service, spans in named.items()
        ]
    }


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The stack, to which the daemon has sent what was recorded, and Dify its half."""
    folder = tmp_path_factory.mktemp("plugin-daemon")
    another, drop_in = folder / "another.json", folder / "another.yaml"
    drop_in.write_text(ANOTHER % another)
    layout = Layout(folder / "stack", Ports.free(), (DROP_IN, drop_in), jaeger_storage="memory")
    with Stack(layout) as stack:
        running = Daemon(stack, another)
        httpx.post(f"{layout.otlp_http}/v1/traces", json=of_dify()).raise_for_status()
        running.post("traces", json.loads(now(RECORDED.read_text())))
        yield running


def whole(daemon: Daemon) -> list[dict[str, Any]]:
    """The recorded trace in Jaeger, when all of it is there."""
    jaeger = Jaeger(daemon.stack.layout.jaeger)
    return wait_until(
        lambda: jaeger.trace(TRACE), lambda spans: len(spans) >= 6, what="both halves"
    )


def test_a_run_goes_on_through_the_daemon_and_back_in_one_trace(daemon: Daemon) -> None:
    spans = {span["spanId"]: span for span in whole(daemon)}
    path = []
    span_id = "13" * 8
    while span_id:
        span = spans[span_id]
        path.append((span["resource"]["service.name"], span["name"]))
        span_id = span.get("parentSpanId", "")
    assert path[::-1] == [
        ("dify-worker", "POST /plugin/{tenant_id}/dispatch/tool/invoke"),
        ("plugin-daemon", "POST /plugin/{tenant_id}/dispatch/tool/invoke"),
        ("plugin-daemon", "POST /inner/api/invoke/llm"),
        ("dify-api", "POST /inner/api/invoke/llm"),
        ("dify-api", "POST /plugin/{tenant_id}/dispatch/llm/invoke"),
        ("plugin-daemon", "POST /plugin/{tenant_id}/dispatch/llm/invoke"),
    ]
    assert len(spans) == len(path)


def test_its_spans_have_the_attributes_of_ours(daemon: Daemon) -> None:
    whole(daemon)
    # Jaeger adds some of its own.
    spans = {s["spanId"]: attributes(s.get("attributes", ())) for s in daemon.spans(TRACE)}
    tenant = "4b1c9d7e-0a52-4c1f-9e63-5d2f8a7b6c01"
    assert spans["11" * 8] == {
        "dify.tenant_id": tenant,
        "http.request.method": "POST",
        "http.response.body.size": 144,
        "http.response.status_code": 200,
        "http.route": "/plugin/{tenant_id}/dispatch/tool/invoke",
        "server.port": 5002,
    }
    assert spans["12" * 8] == {
        "dify.tenant_id": tenant,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "peer.service": "dify-api",
        "server.address": "api",
        "server.port": 5001,
        "service.peer.name": "dify-api",
        "url.full": "http://api:5001/inner/api/invoke/llm",
        "url.template": "/inner/api/invoke/llm",
    }


def test_what_belongs_to_no_run_is_dropped(daemon: Daemon) -> None:
    """Its heartbeats and connections, queries, health checks, the making of environments."""
    whole(daemon)
    sent = json.loads(RECORDED.read_text())["resourceSpans"][0]["scopeSpans"]
    traces = {span["traceId"] for of_scope in sent for span in of_scope["spans"]}
    assert len(traces) == 10
    assert traces & {span["traceId"] for span in daemon.spans()} == {TRACE}


def test_jaeger_s_architecture_has_the_daemon_between_worker_and_api(daemon: Daemon) -> None:
    whole(daemon)
    ends = {"endTs": int(time.time() * 1000) + 60_000, "lookback": 3_600_000}
    url = f"{daemon.stack.layout.jaeger}/api/dependencies"

    def edges() -> set[tuple[str, str]]:
        found = httpx.get(url, params=ends).json()["data"]
        return {(edge["parent"], edge["child"]) for edge in found}

    wait_until(
        edges,
        {
            ("dify-worker", "plugin-daemon"),
            ("plugin-daemon", "dify-api"),
            ("dify-api", "plugin-daemon"),
        }.issubset,
        what="edges",
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (
            "SELECT * FROM \"plugins\" WHERE id = 'canary' AND size > 7",
            'SELECT * FROM "plugins" WHERE id = ?',
        ),
        ("UPDATE t SET size = 15.5, a = 3", "UPDATE t SET size = ?, a = ?"),
        # What looks like a place for another value has that written into it, with its quotes.
        ("SELECT 1 WHERE a = 'it''s 'canary' $2$' OR b = 'canary'", "SELECT ? WHERE a = ?"),
        ("SELECT a FROM t WHERE a = '\n\\'canary' OR b = 'cana", "SELECT a FROM t WHERE a = ?"),
        ("SELECT " + "é" * 3000, "SELECT " + "é" * 1993),
    ],
)
def test_a_statement_is_kept_up_to_its_first_value(daemon: Daemon, sent: str, kept: str) -> None:
    given = pairs(
        server__address="db_postgres:5432",
        db__system__name="postgresql",
        db__query__text=sent,
        db__operation__name="select",
        db__collection__name="plugins",
        db__query__summary="select plugins",
        db__rows_affected=1,
    )
    got = daemon.request(SQL, attributes=given)
    assert got["name"] == "SELECT plugins"
    assert got["attributes"] == {
        "db.collection.name": "plugins",
        "db.operation.name": "SELECT",
        "db.query.text": kept,
        "db.rows_affected": 1,
        "db.system.name": "postgresql",
        "server.address": "db_postgres",
        "server.port": 5432,
    }
    assert len(kept) <= DB_STATEMENT.text


@pytest.mark.parametrize(
    ("name", "kept"), [("hset", "HSET"), ("redis.pipeline get set", "PIPELINE")]
)
def test_of_a_command_of_redis_its_name_is_kept(daemon: Daemon, name: str, kept: str) -> None:
    span = recorded(REDIS)
    given = pairs(db__statement=f"hset key {CANARY}", db__connection_string=f"redis://:{CANARY}@r")
    got = daemon.request(REDIS, name=name, attributes=[*span["attributes"][:3], *given])
    assert got["name"] == kept
    assert got["attributes"] == {
        "db.operation.name": kept,
        "db.system.name": "redis",
        "server.address": "redis",
        "server.port": 6379,
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (
            'Post "http://api:5001/inner?key=canary": dial tcp: connection refused',
            "Post ?: dial tcp: connection refused",
        ),
        (
            "ERROR: duplicate key value 'canary (SQLSTATE 23505)",
            "ERROR: duplicate key value ?",
        ),
        ("get https://u:canary@s3/b?X-Sig=canary failed", "get https://s3/b? failed"),
        ("refused: Authorization: Bearer canary", "refused: Authorization=***"),
        ("X-Api-Key=canary is unknown", "X-Api-Key=*** is unknown"),
        ("context canceled", "context canceled"),
    ],
)
def test_errors_are_told_without_values_and_secrets(daemon: Daemon, sent: str, kept: str) -> None:
    told = pairs(
        exception__type="*url.Error", exception__message=sent, exception__stacktrace=CANARY
    )
    event = {"name": "exception", "timeUnixNano": str(time.time_ns()), "attributes": told}
    got = daemon.request(HTTP, status={"code": 2, "message": sent}, events=[event])
    assert got["status"] == {"code": 2, "message": kept}
    assert attributes(got["events"][0]["attributes"]) == {"exception.type": "*url.Error"}


@pytest.mark.parametrize(
    ("url", "name", "kept"),
    [
        (
            f"https://u:{CANARY}@bucket.example.com/a/b?X-Sig={CANARY}#{CANARY}",
            "PUT",
            "https://bucket.example.com/a/b",
        ),
        (
            f"http://api:5001/inner/api/upload/file/request?a={CANARY}",
            "PUT /inner/api/upload/file/request",
            "http://api:5001/inner/api/upload/file/request",
        ),
    ],
)
def test_calls_in_today_s_conventions_are_cleaned_too(
    daemon: Daemon, url: str, name: str, kept: str
) -> None:
    given = pairs(
        http__request__method="PUT",
        url__full=url,
        server__address="h",
        server__port=443,
        http__request__header__authorization=CANARY,
    )
    got = daemon.request(HTTP, attributes=given)
    assert got["name"] == name
    assert got["attributes"]["url.full"] == kept
    assert ("peer.service" in got["attributes"]) == ("inner" in url)


def test_who_calls_a_plugin_s_endpoint_begins_a_trace_without_what_opens_it(daemon: Daemon) -> None:
    """A plugin that is called from outside may call Dify: what it then does has a root."""
    given = pairs(
        http__request__method="POST",
        http__route="/e/:hook_id/*path",
        url__path=f"/e/{CANARY}/hook",
        server__address="dify-plugin-daemon",
        user_agent__original=CANARY,
    )
    changed = {"parentSpanId": "", "name": "POST /e/:hook_id/*path", "kind": 2, "flags": 257}
    got = daemon.request(GIN, attributes=given, **changed)
    assert got["name"] == "POST /e/{hook_id}/{path}"
    assert got["attributes"] == {
        "http.request.method": "POST",
        "http.route": "/e/{hook_id}/{path}",
    }


@pytest.mark.parametrize(
    ("scope", "given", "name"),
    [
        (GIN, pairs(http__request__method="GET", url__path=f"/{CANARY}"), "GET"),
        (SQL, pairs(db__query__text=f"'{CANARY}'", db__system__name="mysql"), "QUERY"),
        (HTTP, pairs(http__method="GET"), "GET"),
    ],
)
def test_a_span_without_the_usual_attributes_is_kept(
    daemon: Daemon, scope: str, given: list[dict[str, Any]], name: str
) -> None:
    """What is lacking must not cost the request that it came in."""
    assert daemon.request(scope, attributes=given, name=CANARY)["name"] == name


def test_what_it_calls_of_dify_has_a_span_even_in_a_trace_of_its_own(daemon: Daemon) -> None:
    """So it is before 0.6.9: without it, what Dify then does would have no beginning."""
    got = daemon.request(HTTP, parentSpanId="", flags=257)
    assert got["name"] == "POST /inner/api/invoke/llm"


def test_of_its_metrics_those_are_kept_that_dify_does_not_have(daemon: Daemon) -> None:
    """Its HTTP metrics have the names of Dify's, which alerts add up whatever the service."""
    ns = time.time_ns()
    number = {"startTimeUnixNano": str(ns - 10**9), "timeUnixNano": str(ns), "asInt": "3"}
    labels = pairs(plugin__id="acme/probe", plugin__outcome="success")
    total = {"aggregationTemporality": 2, "isMonotonic": True}
    metrics = [
        {"name": name, "unit": unit, "sum": total | {"dataPoints": [number | of]}}
        for name, unit, of in (
            ("plugin.invocations", "{call}", {"attributes": labels}),
            ("http.server.request.duration", "s", {}),
            ("http.client.request.size", "By", {}),
        )
    ]
    resource = envelope({})["resourceSpans"][0]["resource"]
    scope = {"scope": {"name": "dify-plugin-daemon/plugin"}, "metrics": metrics}
    body = {"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]}
    daemon.post("metrics", body)
    prometheus = Prometheus(daemon.stack.layout.prometheus)
    [series] = wait_until(
        lambda: prometheus.query('{job="plugin-daemon",__name__!="target_info"}'), what="series"
    )
    assert series.labels["__name__"] == "plugin_invocations_total"
    assert series.labels["plugin_id"] == "acme/probe"
    assert series.value == 3


def test_no_value_reaches_a_backend(daemon: Daemon) -> None:
    """The last of these tests: all that they sent had one in it."""
    assert len(daemon.spans()) > len(whole(daemon))
    assert CANARY not in daemon.another.read_text()
    assert CANARY not in json.dumps(whole(daemon))
