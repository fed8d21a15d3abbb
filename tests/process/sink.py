"""OTLP receivers for tests: by HTTP and by gRPC, on 127.0.0.1."""

from __future__ import annotations

import gzip
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

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


class Received:
    """What a receiver got.

    Attributes:
        url: where it listens.
        names: names of spans and metrics, bodies of log records, by signal.
    """

    def __init__(self) -> None:
        self.url = ""
        self.names: dict[str, Counter[str]] = {signal: Counter() for signal in REQUESTS}

    def take(self, signal: str, request: Any) -> None:
        """Keep what one request holds."""
        names = self.names[signal]
        if signal == "traces":
            for of_resource in request.resource_spans:
                for scope in of_resource.scope_spans:
                    names.update(span.name for span in scope.spans)
        elif signal == "metrics":
            for of_resource in request.resource_metrics:
                for scope in of_resource.scope_metrics:
                    names.update(metric.name for metric in scope.metrics)
        else:
            for of_resource in request.resource_logs:
                for scope in of_resource.scope_logs:
                    names.update(record.body.string_value for record in scope.log_records)


@contextmanager
def http_sink() -> Iterator[Received]:
    """Receive OTLP by HTTP."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            signal = self.path.rpartition("/")[2]
            received.take(signal, REQUESTS[signal].FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@contextmanager
def grpc_sink() -> Iterator[Received]:
    """Receive OTLP by gRPC."""
    received = Received()

    def handler(signal: str) -> Any:
        def export(request: Any, _context: Any) -> Any:
            received.take(signal, request)
            return _ANSWERS[signal]()

        method = grpc.unary_unary_rpc_method_handler(
            export, REQUESTS[signal].FromString, _ANSWERS[signal].SerializeToString
        )
        return grpc.method_handlers_generic_handler(_METHODS[signal], {"Export": method})

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(tuple(handler(signal) for signal in REQUESTS))
    received.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield received
    server.stop(None).wait()
