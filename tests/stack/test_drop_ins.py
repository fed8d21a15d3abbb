"""Drop-ins that send on: real telemetry through the real Collector, to a stand-in that looks at it.

All of them at once, in one Collector, so that what one does to its copy is seen not to reach another.
"""

from __future__ import annotations

import base64
import gzip
import itertools
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.native.layout import HOST, Layout
from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import wait_until
from collector.native.services import COLLECTOR_CONFIG
from tests.stack.observed_fixtures import Worker
from tests.stack.otlp_json import Telemetry
from tests.stack.test_configs import DROP_INS, NOT_BUILT, validate_collector
from tests.stack.tier import running
from tests.stack.traffic import COUNTS, INPUT_TOKENS, MODEL, OUTPUT_TOKENS

FOLDER = COLLECTOR_FOLDER / "drop-ins"
SENDING = (
    *("langfuse", "elasticsearch", "grafana-cloud", "tempo-mimir", "vendor"),
    *("openinference", "file-archive", "log-files", "redaction"),
)
# Where each sends, and with which header that lets it in.
TAKEN: Mapping[str, tuple[str, str]] = {
    "/lf/api/public/otel/v1/traces": ("authorization", "Basic bGYtcGs6bGYtc2s="),
    **{
        f"/es/_otlp/v1/{s}": ("authorization", "ApiKey es-key")
        for s in ("traces", "metrics", "logs")
    },
    **{
        f"/gc/otlp/v1/{s}": ("authorization", "Basic MTIzOmdj")
        for s in ("traces", "metrics", "logs")
    },
    **{f"/v/v1/{s}": ("x-vendor", "from-a-file") for s in ("traces", "metrics", "logs")},
    "/tempo/v1/traces": ("x-scope-orgid", "dify"),
    "/mimir/otlp/v1/metrics": ("x-scope-orgid", "dify"),
    "/phx/v1/traces": ("authorization", "Bearer phx-key"),
}
MESSAGES: Mapping[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}


@dataclass
class Receiver:
    """What takes OTLP/HTTP, from those who say who they are."""

    address: str = ""
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def spans(self, path: str) -> list[Span]:
        """All spans that came to a path."""
        found = []
        for body in self.bodies.get(path, ()):
            request = ExportTraceServiceRequest.FromString(body)
            found += [s for r in request.resource_spans for c in r.scope_spans for s in c.spans]
        return found


@contextmanager
def listening() -> Iterator[Receiver]:
    """Listen on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            name, value = TAKEN.get(self.path, ("", "nobody's"))
            known = self.headers.get(name) == value
            if known:
                receiver.bodies.setdefault(self.path, []).append(body)
            else:
                receiver.refused.append(f"{self.path} {dict(self.headers)}")
            self.send_response(200 if known else 401)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    receiver.address = f"http://{HOST}:{server.server_port}"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Sent:
    """One round of traffic, and where it came out."""

    receiver: Receiver
    archive: Path


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    """Send a round of traffic through a Collector with all of them, in an order of no meaning."""
    folder = tmp_path_factory.mktemp("drop-ins")
    token = folder / "token"
    token.write_text("from-a-file", encoding="utf-8")
    drop_ins = [FOLDER / f"{name}.yaml" for name in reversed(SENDING)]
    with listening() as receiver:
        environ = {
            "LANGFUSE_URL": f"{receiver.address}/lf",
            "LANGFUSE_AUTH": base64.b64encode(b"lf-pk:lf-sk").decode(),
            "ELASTICSEARCH_OTLP_URL": f"{receiver.address}/es/_otlp",
            "ELASTICSEARCH_API_KEY": "es-key",
            "GRAFANA_CLOUD_OTLP_URL": f"{receiver.address}/gc/otlp",
            "GRAFANA_CLOUD_AUTH": base64.b64encode(b"123:gc").decode(),
            "OTLP_VENDOR_URL": f"{receiver.address}/v",
            # A secret that is in a file, as drop-ins/README.md says.
            "OTLP_VENDOR_HEADERS": f'{{x-vendor: "${{file:{token}}}"}}',
            "TEMPO_URL": f"{receiver.address}/tempo",
            "MIMIR_URL": f"{receiver.address}/mimir",
            "TEMPO_MIMIR_TENANT": "dify",
            "PHOENIX_URL": f"{receiver.address}/phx",
            "PHOENIX_API_KEY": "phx-key",
            "OTELCOL_ARCHIVE_DIR": str(folder / "archive"),
            "OTELCOL_LOG_DIR": str(folder / "logs"),
        }
        with running(folder / "collector", COLLECTOR_CONFIG, *drop_ins, **environ) as layout:
            worker = Worker(layout.otlp_http, folder, "dify-worker")
            worker.round()
            worker.end()
            wait_until(
                lambda: calls(receiver.spans("/lf/api/public/otel/v1/traces")),
                lambda found: len(found) == COUNTS["model calls"],
                what="model calls in Langfuse",
            )
            wait_until(
                lambda: TAKEN.keys() - receiver.bodies.keys(),
                lambda missing: not missing,
                what="data at every receiver",
            )
            yield Sent(receiver, folder / "archive")


def told(span: Span) -> dict[str, Any]:
    """A span's attributes."""
    found = {}
    for pair in span.attributes:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = getattr(pair.value, kind) if kind else None
    return found


def calls(spans: list[Span]) -> list[Span]:
    """The model calls among spans."""
    return [span for span in spans if span.name == f"chat {MODEL}"]


def test_every_receiver_gets_its_signals_with_its_header(sent: Sent) -> None:
    assert sent.receiver.refused == []
    for path in TAKEN:
        message = MESSAGES[path.rpartition("/")[2]]
        assert all(message.FromString(body).ByteSize() for body in sent.receiver.bodies[path])


def test_a_plain_backend_gets_spans_as_they_are(sent: Sent) -> None:
    for path in ("/es/_otlp/v1/traces", "/gc/otlp/v1/traces", "/v/v1/traces", "/tempo/v1/traces"):
        spans = sent.receiver.spans(path)
        assert calls(spans)
        names = {name for span in spans for name in told(span)}
        assert not [n for n in names if n.startswith(("langfuse.", "openinference.", "llm."))]


def test_langfuse_counts_every_token_once(sent: Sent) -> None:
    """Its own reading: a type that is told, else a generation of all that names a model."""
    spans = sent.receiver.spans("/lf/api/public/otel/v1/traces")
    used = {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}
    types = set()
    for span in spans:
        attributes = told(span)
        type_ = attributes["langfuse.observation.type"]
        types.add(type_)
        usage = {n for n in attributes if n.startswith(("gen_ai.usage.", "llm.token_count"))}
        if type_ == "generation":
            assert span.name.partition(" ")[::2] in {("chat", MODEL), ("rerank", "rerank-v3")}
            assert attributes["gen_ai.request.model"] == span.name.partition(" ")[2]
            assert usage <= {*used, "gen_ai.usage.cost"}
            for name in used:
                used[name] += attributes.get(name, 0)
        else:
            assert usage == set()
            assert not {"gen_ai.request.model", "gen_ai.response.model"} & attributes.keys()
    assert used == {
        "gen_ai.usage.input_tokens": COUNTS["input tokens"],
        "gen_ai.usage.output_tokens": COUNTS["output tokens"],
    }
    assert {"generation", "chain", "tool", "retriever", "span"} <= types


def test_langfuse_knows_who_where_and_what_failed(sent: Sent) -> None:
    attributes = [told(s) for s in sent.receiver.spans("/lf/api/public/otel/v1/traces")]
    assert {"support"} <= {a.get("langfuse.trace.name") for a in attributes}
    assert {"user-1"} <= {a.get("langfuse.user.id") for a in attributes}
    assert any(a.get("langfuse.observation.level") == "ERROR" for a in attributes)


def test_openinference_says_what_each_span_is_and_the_tokens_of_a_call(sent: Sent) -> None:
    spans = sent.receiver.spans("/phx/v1/traces")
    kinds = {told(span).get("openinference.span.kind") for span in spans}
    assert kinds >= {"LLM", "CHAIN", "TOOL", "RETRIEVER", None}
    for span in spans:
        attributes = told(span)
        counted = {n: v for n, v in attributes.items() if n.startswith("llm.token_count.")}
        if attributes.get("openinference.span.kind") != "LLM":
            assert counted == {}
        elif "gen_ai.usage.input_tokens" in attributes:
            assert counted == {
                "llm.token_count.prompt": INPUT_TOKENS,
                "llm.token_count.completion": OUTPUT_TOKENS,
                "llm.token_count.total": INPUT_TOKENS + OUTPUT_TOKENS,
            }
            assert attributes["llm.model_name"].startswith(MODEL)


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_can_be_replayed(sent: Sent, tmp_path: Path, compressed: bool) -> None:
    """With the file that drop-ins/README.md shows, into a Collector that writes it down again."""
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    [shown] = [b for b in readme.split("```yaml\n")[1:] if "otlpjsonfile" in b]
    replay = yaml.safe_load(shown.partition("```")[0])
    wait_until(lambda: len(list(sent.archive.glob("*.json"))), lambda n: n == 3, what="archive")
    whole = {}
    for file in sent.archive.glob("*.json"):
        whole[file.stem] = file.read_text().rpartition("\n")[0] + "\n"
        to = tmp_path / "archive" / file.name
        to.parent.mkdir(exist_ok=True)
        to.write_text(whole[file.stem])
        if compressed:
            with gzip.open(f"{to}.gz", "wb") as packed:
                packed.write(to.read_bytes())
            to.unlink()
    receiver = replay["receivers"]["otlpjsonfile/archive"]
    if compressed:
        receiver |= {"include": [f"{receiver['include'][0]}.gz"], "compression": "gzip"}
    again = tmp_path / "again.json"
    replay["exporters"] = {"file/again": {"path": str(again), "flush_interval": "100ms"}}
    replay["service"]["pipelines"]["traces/replay"]["exporters"] = ["file/again"]
    config = tmp_path / "replay.yaml"
    config.write_text(yaml.safe_dump(replay), encoding="utf-8")
    environ = {"OTELCOL_ARCHIVE_DIR": str(tmp_path / "archive")}

    def ids(text: str) -> set[str]:
        return {piece[:16] for piece in text.split('"spanId":"')[1:]}

    with running(tmp_path / "collector", COLLECTOR_CONFIG, config, **environ):
        wait_until(
            lambda: ids(again.read_text()) if again.exists() else set(),
            lambda found: found == ids(whole["traces"]),
            what="replayed spans",
        )


def test_each_drop_in_goes_with_each_other_one(tmp_path: Path) -> None:
    """In which order they are named is of no meaning: they set no key that another one sets."""
    environ = Layout(tmp_path).environment()
    for one, other in itertools.combinations([d for d in DROP_INS if d not in NOT_BUILT], 2):
        refused = validate_collector(COLLECTOR_CONFIG, one, other, environment=environ)
        assert refused == "", f"{one.name} and {other.name}: {refused}"


@pytest.mark.parametrize("backwards", [False, True])
def test_all_of_them_start_together(tmp_path: Path, backwards: bool) -> None:
    built = [drop_in for drop_in in DROP_INS if drop_in not in NOT_BUILT]
    environ = {"OTELCOL_LOG_DIR": str(tmp_path / "l"), "OTELCOL_ARCHIVE_DIR": str(tmp_path / "a")}
    configs = reversed(built) if backwards else built
    with running(tmp_path / "collector", COLLECTOR_CONFIG, *configs, **environ) as layout:
        Telemetry("together").send(layout.otlp_http)


# Every key of clickhouseexporter v0.152.0 (config.go and exporterhelper) that the file may use.
_CLICKHOUSE = {
    *("endpoint", "username", "password", "database", "tls", "connection_params", "ttl", "timeout"),
    *("logs_table_name", "traces_table_name", "metrics_tables", "table_engine", "cluster_name"),
    *("create_schema", "compress", "async_insert", "json", "retry_on_failure", "sending_queue"),
}


def test_clickhouse_has_only_keys_of_its_exporter_which_our_build_does_not_have(
    tmp_path: Path,
) -> None:
    """Checked against the exporter's own list of keys; the queue and the pipelines, by the build."""
    [file] = NOT_BUILT
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    [exporter] = config["exporters"].values()
    assert exporter.keys() <= _CLICKHOUSE
    environ = Layout(tmp_path).environment()
    assert "clickhouse" in validate_collector(COLLECTOR_CONFIG, file, environment=environ)
    shared = {k: exporter[k] for k in ("sending_queue", "retry_on_failure", "timeout")}
    rest = tmp_path / "rest.yaml"
    as_otlp = {"otlp_http/clickhouse": {"endpoint": "http://127.0.0.1:1", **shared}}
    pipelines = config["service"]["pipelines"]
    for pipeline in pipelines.values():
        pipeline["exporters"] = ["otlp_http/clickhouse"]
    rest.write_text(yaml.safe_dump({"exporters": as_otlp, "service": {"pipelines": pipelines}}))
    assert validate_collector(COLLECTOR_CONFIG, rest, environment=environ) == ""


def test_no_drop_in_holds_a_secret() -> None:
    """What lets in comes from a variable, whose default is empty."""
    for drop_in in DROP_INS:
        for name, exporter in (yaml.safe_load(drop_in.read_text()).get("exporters") or {}).items():
            headers = exporter.get("headers") or {}
            assert isinstance(headers, dict) or headers.endswith(":-}")
            for header, value in headers.items() if isinstance(headers, dict) else ():
                if header == "authorization":
                    assert value.endswith(":-}"), f"{name} of {drop_in}"
            assert str(exporter.get("password", ":-}")).endswith(":-}")


def test_an_archive_is_set_aside_when_it_is_full(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    environ = {"OTELCOL_ARCHIVE_DIR": str(archive), "OTELCOL_ARCHIVE_MEGABYTES": "1"}
    full = FOLDER / "file-archive.yaml"
    with running(tmp_path / "collector", COLLECTOR_CONFIG, full, **environ) as layout:
        for _ in range(40):
            sender = Telemetry("x" * 40_000)
            sender.post(layout.otlp_http, "traces", sender.traces())
        wait_until(lambda: list(archive.glob("traces-*.json")), what="a file that was set aside")
    shutil.rmtree(archive)
