"""Stand-ins of the canary: what answers Dify with marks, and what receives its telemetry.

The plugin daemon's is a proxy before the rig's own: it adds marks to what models and tools answer,
and has errors repeat what was asked, as providers do. The target is what HTTP nodes call and
where files are fetched from. The receiver keeps what arrives as it arrives.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.dify.marks import Marks
else:
    from marks import Marks


_LAST_CHUNK = b"0\r\n\r\n"
_ECHO = 400


class _Handler(BaseHTTPRequestHandler):
    """Handles requests; keeps its connections open."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        """Handle a connection, which Dify may cut where it ends a run."""
        with suppress(ConnectionError):
            super().handle()

    def body(self) -> bytes:
        """Read the body of the request, chunked or not."""
        if "chunked" not in (self.headers.get("transfer-encoding") or ""):
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def answer(self, body: bytes, kind: str = "application/json", status: int = 200) -> None:
        """Answer with a body."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Receiver:
    """Receives OTLP over HTTP and keeps it.

    Attributes:
        requests: path and body, decompressed, of each request so far.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Make the class that handles its requests."""
        requests = self.requests

        class Handler(_Handler):
            def do_POST(self) -> None:
                body = self.body()
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                requests.append((self.path, body))
                self.answer(b"", "application/x-protobuf")

        return Handler


def target(marks: Marks) -> type[BaseHTTPRequestHandler]:
    """Make the class that answers HTTP nodes, and gives files."""

    class Handler(_Handler):
        def _any(self) -> None:
            self.body()
            if self.path.startswith("/files/"):
                self.answer(marks.text("file-content").encode(), "text/plain")
            elif self.path.startswith("/status/500"):
                self.answer(json.dumps({"error": marks.text("http-body")}).encode(), status=500)
            else:
                self.answer(json.dumps({"said": marks.text("http-body")}).encode())

        do_GET = do_POST = do_HEAD = _any  # noqa: N815 - as http.server calls them

    return Handler


def daemon(marks: Marks, address: str) -> type[BaseHTTPRequestHandler]:
    """Make the class that stands before the rig's plugin daemon at an address."""
    peer = urlsplit(address)

    class Handler(_Handler):
        def _any(self) -> None:
            asked = self.body()
            there = HTTPConnection(str(peer.hostname), peer.port, timeout=120)
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in {"host", "transfer-encoding", "content-length"}
            }
            there.request(self.command, self.path, asked, headers)
            response = there.getresponse()
            kind = response.headers.get("content-type", "application/json")
            if "event-stream" not in kind:
                self.answer(response.read(), kind, response.status)
                return
            self.send_response(response.status)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            edit = _editor(marks, self.path, asked)
            for line in response:
                if line.startswith(b"data: "):
                    told = json.dumps(edit(json.loads(line[6:])), ensure_ascii=False).encode()
                    self._send(b"data: " + told + b"\n\n")
            self.wfile.write(_LAST_CHUNK)
            there.close()

        def _send(self, part: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815 - as http.server calls them

    return Handler


def _editor(marks: Marks, path: str, asked: bytes) -> Callable[[Any], Any]:
    """Return what adds marks to the answers to a request, one after the other."""
    given = (json.loads(asked) if asked else {}).get("data") or {}
    first = [True]

    def edit(told: Any) -> Any:
        if told.get("code"):
            told["message"] = _echoing(told["message"], _asked(given))
        elif path.endswith("llm/invoke"):
            _mark_chunk(told["data"]["delta"]["message"], marks, first)
        elif path.endswith("tool/invoke"):
            _mark_result(told["data"]["message"], marks)
        return told

    return edit


def _asked(given: dict[str, Any]) -> str:
    """Return what a provider's error would repeat: the last message, or a tool's arguments."""
    messages = given.get("prompt_messages") or [{}]
    content = messages[-1].get("content") or given.get("tool_parameters") or ""
    return (content if isinstance(content, str) else json.dumps(content))[:_ECHO]


def _echoing(message: str, asked: str) -> str:
    """Add what was asked to the message of an error, however deep the daemon has wrapped it."""
    try:
        told = json.loads(message)
    except ValueError:
        return f"{message} (asked: {asked})"
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        told["message"] = _echoing(told["message"], asked)
    return json.dumps(told)


def _mark_chunk(message: dict[str, Any], marks: Marks, first: list[bool]) -> None:
    for call in message.get("tool_calls") or ():
        arguments = json.loads(call["function"]["arguments"])
        marked = {
            key: f"{value} {marks.text('tool-argument')}" if isinstance(value, str) else value
            for key, value in arguments.items()
        }
        call["function"]["arguments"] = json.dumps(marked)
    content = message.get("content")
    if content and first[0]:
        first[0] = False
        if "category_id" in content:  # an answer that must stay what it is
            message["content"] = content.replace('"fake"', json.dumps(marks.text("answer")))
        else:
            message["content"] = f"{marks.text('answer')} {content}"


def _mark_result(message: dict[str, Any], marks: Marks) -> None:
    if "text" in message:
        message["text"] += f" {marks.text('tool-result')}"
    elif "json_object" in message:
        message["json_object"]["said"] = marks.text("tool-result")


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port of this machine.

    Yields:
        Its address, ``http://127.0.0.1:<port>``.
    """
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
