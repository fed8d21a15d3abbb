"""OTLP receivers for tests, by HTTP and by gRPC, on 127.0.0.1.

Each is a process of its own, since gRPC and forks do not go together: ``python sink.py grpc``
prints its address, and when its standard input is closed what it has got, as JSON.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading
from collections import Counter
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

REQUESTS: dict[str, Any] = {
    "traces": traces.ExportTraceServiceRequest,
    "metrics": metrics.ExportMetricsServiceRequest,
    "logs": logs.ExportLogsServiceRequest,
}
_ANSWERS: dict[str, Any] = {
    "traces": traces.ExportTraceServiceResponse,
    "metrics": metrics.ExportMetricsServiceResponse,
    "logs": logs.ExportLogsServiceResponse,
}
_METHODS = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}


_names: dict[str, Counter[str]] = {signal: Counter() for signal in REQUESTS}


def _take(signal: str, request: Any) -> None:
    """Keep what one request holds."""
    if signal == "traces":
        scopes = [scope for of in request.resource_spans for scope in of.scope_spans]
        _names[signal].update(span.name for scope in scopes for span in scope.spans)
    elif signal == "metrics":
        scopes = [scope for of in request.resource_metrics for scope in of.scope_metrics]
        _names[signal].update(metric.name for scope in scopes for metric in scope.metrics)
    else:
        scopes = [scope for of in request.resource_logs for scope in of.scope_logs]
        records = [record for scope in scopes for record in scope.log_records]
        _names[signal].update(record.body.string_value for record in records)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Take a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        signal = self.path.rpartition("/")[2]
        _take(signal, REQUESTS[signal].FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


def _serve_http() -> int:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def _serve_grpc() -> int:
    def handler(signal: str) -> Any:
        def export(request: Any, _context: Any) -> Any:
            _take(signal, request)
            return _ANSWERS[signal]()

        method = grpc.unary_unary_rpc_method_handler(
            export, REQUESTS[signal].FromString, _ANSWERS[signal].SerializeToString
        )
        return grpc.method_handlers_generic_handler(_METHODS[signal], {"Export": method})

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(tuple(handler(signal) for signal in REQUESTS))
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # Without a reference it would stop.
    _kept.append(server)
    return port


_kept: list[Any] = []


class Sink:
    """A receiver, running between ``with`` and its end.

    Args:
        protocol: ``http/protobuf`` or ``grpc``.

    Attributes:
        url: where it listens.
        names: at its end: names of spans and metrics, bodies of log records, by signal.
    """

    def __init__(self, protocol: str) -> None:
        self.names: dict[str, dict[str, int]] = {}
        self._protocol = protocol

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__)), self._protocol],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        told, _ = self._process.communicate(timeout=30)
        self.names = json.loads(told)


if __name__ == "__main__":
    port = _serve_grpc() if sys.argv[1] == "grpc" else _serve_http()
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    sys.stdout.write(json.dumps(_names))
    sys.stdout.flush()
