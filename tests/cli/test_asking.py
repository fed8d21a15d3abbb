"""A backend that answers otherwise than it should is told of in a sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from otel_dify.cli.asking import Backend, BackendError
from tests.cli.viewing import view


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Serve one answer to everything; yields the address, and what was asked for and with what."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"<html>a login page</html>", 200, "does not answer in JSON"),
        (b'{"status": "success"}', 200, "does not answer as Jaeger does"),
        (b'{"data": ["dify-api"]}', 200, "does not answer as Jaeger does"),
        (b"[]", 200, "does not answer as Jaeger does"),
        (b"the token is wrong", 401, "answered 401: the token is wrong"),
        (b"", 404, "answered 404"),
    ],
)
def test_what_is_not_jaegers_answer_is_said(body: bytes, status: int, said: str) -> None:
    with answering(body, status) as (address, _):
        shown = view("latest", address)
    assert shown.exit_code == 1
    assert said in shown.stderr
    assert "Traceback" not in shown.stderr


def test_headers_go_with_every_request() -> None:
    with answering(b'{"data": []}') as (address, asked):
        view("latest", address, "--header", "Authorization: Bearer secret:1")
    assert asked
    assert {sent for _, sent in asked} == {"Bearer secret:1"}


def test_an_answer_of_several_documents_is_read_whole() -> None:
    """The gateway of gRPC sends a long trace in parts."""
    with answering(b'{"result": 1}\n{"result": 2}') as (address, _):
        assert Backend(address, {}).get("/x") == [{"result": 1}, {"result": 2}]
        assert Backend(address + "/", {}).url == address


def test_nobody_there_is_said() -> None:
    with pytest.raises(BackendError, match="does not answer"):
        Backend("http://127.0.0.1:9", {}).get("/")
