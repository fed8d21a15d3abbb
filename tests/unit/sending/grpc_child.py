"""A receiver by gRPC and what sends to it, in a process of their own: ``python grpc_child.py``.

gRPC's threads stay for good, and tests that come after these fork. It reads from standard input
what to do, as JSON: a list of cases with the receiver's behaviour and ours. It prints what came of
each and what the receiver got.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from contextlib import ExitStack, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from otel_dify.export.sending.destination import destination
from otel_dify.settings import Settings


class Receiver(grpc.GenericRpcHandler):
    """Answers as its case says."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.got: list[dict[str, Any]] = []
        self.waiting = threading.Event()
        self._case = case

    def service(self, handler_call_details: Any) -> Any:
        """Take any method, as bytes."""

        def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
            metadata = {name: str(value) for name, value in context.invocation_metadata()}
            call = {"method": handler_call_details.method, "metadata": metadata}
            self.got.append(call | {"size": len(body)})
            return self._answer(context)

        return grpc.unary_unary_rpc_method_handler(answer)

    def _answer(self, context: grpc.ServicerContext) -> bytes:
        if self._case.get("hangs"):
            self.waiting.wait()
        code = self._case.get("code")
        if code is None:
            return bytes.fromhex(self._case.get("response", ""))
        details = [AnyMessage(), AnyMessage()]
        details[0].Pack(BadRequest())
        if (delay := self._case.get("delay_s")) is not None:
            info = RetryInfo()
            info.retry_delay.FromTimedelta(timedelta(seconds=delay))
            details[1].Pack(info)
        told = Status(details=details).SerializeToString()
        told = bytes.fromhex(self._case.get("details", told.hex()))
        context.set_trailing_metadata((("grpc-status-details-bin", told),))
        context.abort(grpc.StatusCode[code], self._case.get("says", ""))
        raise AssertionError


class Relay:
    """Passes on what comes to a port, and counts its bytes.

    It ends before the interpreter does: a thread that writes while that ends aborts the process.
    """

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def close(self) -> None:
        """End all connections, and wait until nothing runs any more."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()

    def _begin(self, target: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._open.append(near)
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open.append(far)
                self._begin(self._pump, near, far, True)
                self._begin(self._pump, far, near, False)

    def _pump(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.bytes += len(data) if counts else 0
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def run(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case."""
    receiver = Receiver(case)
    server = grpc.server(futures.ThreadPoolExecutor(2), [receiver], options=case.get("options"))
    if "server" in case:
        certificate, key, *clients = (Path(path).read_bytes() for path in case["server"])
        credentials = grpc.ssl_server_credentials(
            [(key, certificate)], next(iter(clients), None), bool(clients)
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    outcomes = []
    with ExitStack() as stack:
        if not case.get("absent"):
            server.start()
            stack.callback(lambda: server.stop(None).wait())
        stack.callback(receiver.waiting.set)
        relay = Relay(port)
        stack.callback(relay.close)
        environ = {
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT": case.get("endpoint", "http://localhost:PORT"),
        } | case.get("environ", {})
        environ = {name: value.replace("PORT", str(relay.port)) for name, value in environ.items()}
        transport = destination(Settings(environ), case.get("signal", "traces")).transport()
        for _ in range(case.get("times", 1)):
            outcome = transport.send(b"\0" * case.get("size", 10), case.get("timeout_s", 20))
            outcomes.append({"kind": type(outcome).__name__} | asdict(outcome))
        if "renewed" in case:
            # Our authority's file is another one by now, and the transport has not been told.
            shutil.copy(case["renewed"], environ["OTEL_EXPORTER_OTLP_CERTIFICATE"])
        else:
            transport.close()
            transport.close()
        if case.get("again") or "renewed" in case:
            outcome = transport.send(b"", 20)
            outcomes.append({"kind": type(outcome).__name__} | asdict(outcome))
            transport.close()
    return {"outcomes": outcomes, "got": receiver.got, "bytes": relay.bytes}


if __name__ == "__main__":
    json.dump([run(case) for case in json.load(sys.stdin)], sys.stdout)
