"""An OTLP receiver that a test can make do anything, in a process of its own.

``python receiver.py`` prints its address. What it is to do is put to ``/answers``, as a list of
which each request takes the next, and the last one for ever. What it has got is read from
``/state``, and how much it is from ``/counts``. An answer is one of::

    ok           take the request
    slow         take it after a moment
    late         answer nothing until the client has gone away, and take nothing
    cut          read a part of the request and close the connection
    lost         take the request and close the connection without an answer
    noise        take nothing, and send what is no HTTP
    garbled      take the request and answer 200 with a body that is nothing
    a status     take nothing, and answer with it
    poison:NAME  400 where a span of that name is in the request, else as ``ok``
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

_SLOW_S = 0.3
_STATUS = "dify.workflow.status", "dify.node.status"


class Got:
    """What the receiver has got."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answers: list[str] = ["ok"]
        self.requests: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.terminated: set[str] = set()
        self.ends: dict[str, list[Any]] = {}
        self.lines: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.points: dict[str, float] = {}

    def next_answer(self) -> str:
        """Return what to do with the next request."""
        with self.lock:
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def take(self, signal: str, request: Any) -> None:
        """Keep what a request holds."""
        with self.lock:
            self.requests[signal] += 1
            if signal == "traces":
                self._take_spans(request)
            elif signal == "logs":
                self._take_logs(request)
            else:
                self._take_metrics(request)

    def _take_spans(self, request: Any) -> None:
        for of_resource in request.resource_spans:
            for scope in of_resource.scope_spans:
                for span in scope.spans:
                    identity = span.span_id.hex()
                    self.spans[identity] += 1
                    known = _text_of(span.attributes)
                    if any(known.get(key) == "terminated" for key in _STATUS):
                        self.terminated.add(identity)
                    self.ends[identity] = [
                        span.name,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                    ]

    def _take_logs(self, request: Any) -> None:
        for of_resource in request.resource_logs:
            for scope in of_resource.scope_logs:
                for record in scope.log_records:
                    if record.event_name:
                        self.events[f"{record.event_name} {record.span_id.hex()}"] += 1
                    else:
                        self.lines[record.body.string_value] += 1

    def _take_metrics(self, request: Any) -> None:
        for of_resource in request.resource_metrics:
            who = _text_of(of_resource.resource.attributes).get("service.instance.id", "")
            for scope in of_resource.scope_metrics:
                for metric in scope.metrics:
                    points = getattr(metric, metric.WhichOneof("data")).data_points
                    for point in points:
                        labels = sorted(_text_of(point.attributes).items())
                        value = (
                            point.count
                            if hasattr(point, "count")
                            else getattr(point, point.WhichOneof("value"))
                        )
                        self.points[json.dumps([who, metric.name, labels])] = value

    def counts(self) -> dict[str, int]:
        """Return how many different spans and lines there are."""
        with self.lock:
            return {"spans": len(self.spans), "lines": len(self.lines)}

    def told(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        with self.lock:
            return {
                "requests": self.requests,
                "spans": self.spans,
                "terminated": sorted(self.terminated),
                "ends": self.ends,
                "lines": self.lines,
                "events": self.events,
                "points": self.points,
            }


def _text_of(attributes: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in attributes:
        pair: KeyValue = one
        kind = pair.value.WhichOneof("value")
        found[pair.key] = "" if kind is None else str(getattr(pair.value, kind))
    return found


_REQUESTS: dict[str, Any] = {
    "traces": ExportTraceServiceRequest,
    "metrics": ExportMetricsServiceRequest,
    "logs": ExportLogsServiceRequest,
}
_got = Got()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Tell what has come, or only how much."""
        told = _got.counts() if self.path == "/counts" else _got.told()
        self._answer(200, json.dumps(told).encode())

    def do_PUT(self) -> None:
        """Be told what to do."""
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with _got.lock:
            _got.answers = content
        self._answer(200)

    def do_POST(self) -> None:
        """Do with a request what is to be done."""
        size = int(self.headers["Content-Length"])
        answer = _got.next_answer()
        if answer == "cut":
            self.rfile.read(size // 2)
            self._hang_up()
            return
        body = self.rfile.read(size)
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        signal = self.path.rpartition("/")[2]
        request = _REQUESTS[signal].FromString(body)
        if answer.startswith("poison:"):
            refused = signal == "traces" and answer.partition(":")[2].encode() in body
            answer = "400" if refused else "ok"
        if answer.isdecimal():
            self._answer(int(answer), b"no")
        elif answer == "noise":
            self.wfile.write(b"\x00\xffnothing that anybody knows\r\n\r\n")
            self._hang_up()
        elif answer == "late":
            with contextlib.suppress(OSError):
                self.rfile.read(1)
            self._hang_up()
        else:
            if answer == "slow":
                time.sleep(_SLOW_S)
            _got.take(signal, request)
            if answer == "lost":
                self._hang_up()
            else:
                self._answer(200, b"\xff\xfe\xfd" if answer == "garbled" else b"")

    def _answer(self, status: int, body: bytes = b"") -> None:
        with contextlib.suppress(OSError):  # the client has gone away
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Say nothing."""


class Receiver:
    """A receiver, running between ``with`` and its end.

    Attributes:
        url: where it listens.
    """

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{self._port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=30)

    def answer(self, *answers: str) -> None:
        """Say what to do from now on: with each request the next, the last one for ever."""
        self._ask("PUT", "/answers", json.dumps(answers))

    def state(self) -> dict[str, Any]:
        """Read what has come."""
        told: dict[str, Any] = json.loads(self._ask("GET", "/state"))
        return told

    def counts(self) -> dict[str, int]:
        """Read how many different spans and lines have come."""
        told: dict[str, int] = json.loads(self._ask("GET", "/counts"))
        return told

    def _ask(self, method: str, path: str, body: str = "") -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, body)
            return connection.getresponse().read()
        finally:
            connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that are killed."""


if __name__ == "__main__":
    server = _Server(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
