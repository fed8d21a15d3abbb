"""An OTLP receiver that takes everything: ``python -m benchmarks.receiver``, in its own process.

It answers at once, so that what is measured is the sender, and counts what it has got. Its address
is the first line of what it prints; at the end of its input it prints what it has counted, as JSON.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_GZIP_OR_ZLIB = 47
_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": partial(zlib.decompress, wbits=_GZIP_OR_ZLIB),
    "deflate": partial(zlib.decompress, wbits=_GZIP_OR_ZLIB),
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


class _Connection(threading.Thread):
    """Answers the requests of one connection."""

    def __init__(self, connection: socket.socket, counted: Counter[str]) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self._counted = counted

    def run(self) -> None:
        """Read requests until the other side closes."""
        left = b""
        while True:
            while (at := left.find(_END_OF_HEAD)) < 0:
                read = self._connection.recv(1 << 16)
                if not read:
                    return
                left += read
            path, headers = _head(left[:at])
            parts = [left[at + len(_END_OF_HEAD) :]]
            missing = int(headers.get("content-length", "0")) - len(parts[0])
            while missing > 0:
                parts.append(self._connection.recv(missing))
                missing -= len(parts[-1])
            self._connection.sendall(_TAKEN)
            body, left = b"".join(parts), b""
            self._counted["requests"] += 1
            self._counted["bytes"] += len(body)
            body = _DECOMPRESS[headers.get("content-encoding", "none")](body)
            self._counted["records"] += _records(path, body)


def _head(text: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = text.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first.split()[1], {name.lower(): value.strip() for name, _, value in pairs}


def _records(path: str, body: bytes) -> int:
    """Count spans, log records or metrics of a request."""
    if path.endswith("/traces"):
        spans = ExportTraceServiceRequest.FromString(body).resource_spans
        return sum(len(scope.spans) for one in spans for scope in one.scope_spans)
    if path.endswith("/logs"):
        logs = ExportLogsServiceRequest.FromString(body).resource_logs
        return sum(len(scope.log_records) for one in logs for scope in one.scope_logs)
    metrics = ExportMetricsServiceRequest.FromString(body).resource_metrics
    return sum(len(scope.metrics) for one in metrics for scope in one.scope_metrics)


class Received:
    """What a receiver tells.

    Attributes:
        url: its address.
        counted: at its end: ``requests``, ``bytes`` on the wire, ``records``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.counted: dict[str, int] = {}


@contextmanager
def receiving() -> Iterator[Received]:
    """Run a receiver in a process of its own."""
    started: subprocess.Popen[Any] = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        received = Received(started.stdout.readline().strip() if started.stdout else "")
        yield received
        told, _ = started.communicate(timeout=30)
        received.counted = json.loads(told)
    finally:
        started.kill()
        started.wait()


def main() -> None:
    """Receive until the input ends."""
    counted: Counter[str] = Counter(requests=0, bytes=0, records=0)
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        while True:
            _Connection(listening.accept()[0], counted).start()

    threading.Thread(target=accept, daemon=True).start()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    sys.stdin.read()
    print(json.dumps(counted), flush=True)


if __name__ == "__main__":
    main()
