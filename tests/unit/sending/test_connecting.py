"""Connecting: names, addresses, deadlines, and the words for what goes wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import BadStatusLine
from typing import Any
from urllib.parse import urlsplit

import pytest

from otel_dify.export.sending.failures import failure
from otel_dify.export.sending.outcome import Delivered, Retry, Transport
from tests.unit.sending.conftest import To
from tests.unit.sending.receiver import HANG_UP, Receiver

BODY = b"the bytes of a request"
LARGE = b"\0" * 50_000_000
TIMEOUT_S = 20.0
SHORT_S = 0.3
pytestmark = pytest.mark.timeout(60)


def reason(transport: Transport, timeout_s: float = TIMEOUT_S, body: bytes = BODY) -> str:
    """Send what has to be sent again, and return why."""
    outcome = transport.send(body, timeout_s)
    assert isinstance(outcome, Retry)
    assert outcome.after_s is None
    return outcome.reason


@pytest.fixture
def nobody() -> int:
    """Return a port that nothing listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def silent() -> Iterator[int]:
    """Return a port at which connecting takes for ever: its queue of connections is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port: int = listener.getsockname()[1]
        for _ in range(64):
            waiting = stack.enter_context(socket.socket())
            waiting.settimeout(0.1)
            try:
                waiting.connect(("127.0.0.1", port))
            except TimeoutError:
                break
        else:
            pytest.fail("the queue of connections is never full")
        yield port


def test_a_port_without_a_receiver(to: To, nobody: int) -> None:
    told = reason(to(f"http://127.0.0.1:{nobody}"))
    assert told == f"nothing listens at 127.0.0.1:{nobody}"


def test_a_name_that_there_is_not(to: To) -> None:
    """``.invalid`` is never a name (RFC 2606)."""
    told = reason(to("http://collector.invalid:4318"))
    assert told.startswith("the name in collector.invalid:4318 cannot be looked up (")


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_cannot_be_one(to: To, host: str) -> None:
    told = reason(to(f"http://{host}:4318"))
    assert told == f"the name in {host}:4318 cannot be looked up (it is no name of a host)"


def test_a_name_that_is_looked_up_for_too_long(to: To, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver knows no timeout."""
    answer = threading.Event()

    def never(*_: Any) -> Any:
        answer.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", never)
    told = reason(to("http://collector:4318"), SHORT_S)
    assert told == "the name in collector:4318 cannot be looked up (no answer in time)"
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "otel_dify-names":
            thread.join(20)


def test_a_connection_that_is_never_accepted(to: To, silent: int) -> None:
    told = reason(to(f"http://127.0.0.1:{silent}"), SHORT_S)
    assert told == f"127.0.0.1:{silent} has not answered within 0.3 s"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    to: To, silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as receiver:
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
            for port in (silent, receiver.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: both)
        assert to("http://collector:4318").send(BODY, 2.0) == Delivered()


def test_a_receiver_that_accepts_and_says_nothing(to: To) -> None:
    def nothing(_: Any) -> bool:
        receiver.ending.wait()
        return False

    with Receiver(nothing) as receiver:
        told = reason(to(f"http://127.0.0.1:{receiver.port}"), SHORT_S)
    assert told == f"127.0.0.1:{receiver.port} has not answered within 0.3 s"


def test_a_receiver_that_takes_nothing_of_a_large_request(to: To) -> None:
    def nothing(_: Any) -> bool:
        receiver.ending.wait()
        return False

    with Receiver(nothing, reads_bodies=False) as receiver:
        transport = to(receiver.url, OTEL_EXPORTER_OTLP_COMPRESSION="none")
        assert reason(transport, SHORT_S, LARGE).endswith("has not answered within 0.3 s")


def test_a_receiver_that_takes_a_large_request_little_by_little(to: To) -> None:
    def little(talking: Any) -> bool:
        while not receiver.ending.wait(0.02):
            talking.recv(100)
        return False

    with Receiver(little, reads_bodies=False) as receiver:
        transport = to(receiver.url, OTEL_EXPORTER_OTLP_COMPRESSION="none")
        assert reason(transport, SHORT_S, LARGE).endswith("has not answered within 0.3 s")


def test_what_is_not_http_is_told_with_the_port_for_grpc_in_mind(to: To) -> None:
    """A server of HTTP/2 answers with a frame of its settings, or resets the connection."""
    with Receiver(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\n") as receiver:
        told = reason(to(receiver.url))
    assert told.startswith(f"localhost:{receiver.port} does not answer as HTTP does (BadStatusLine")
    hint = "; 4317 is the port for gRPC by custom"
    assert not told.endswith(hint)
    for error in (BadStatusLine("x"), ConnectionResetError(104, "Connection reset by peer")):
        told_there = failure(error, urlsplit("http://collector:4317"), TIMEOUT_S)
        assert told_there.reason.endswith(hint)


def test_a_connection_that_breaks(to: To) -> None:
    with Receiver(HANG_UP) as receiver:
        told = reason(to(receiver.url))
    assert told == (
        f"the connection to localhost:{receiver.port} failed "
        "(Remote end closed connection without response)"
    )


def test_no_time_at_all(to: To) -> None:
    with Receiver() as receiver:
        transport = to(receiver.url)
        assert reason(transport, 0.0).endswith("has not answered within 0 s")
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
        assert reason(transport, 0.0).endswith("has not answered within 0 s")


def test_it_works_again_when_the_receiver_does(to: To) -> None:
    with Receiver() as receiver:
        transport = to(receiver.url)
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
    assert reason(transport) == f"nothing listens at localhost:{receiver.port}"
    with Receiver(port=receiver.port):
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
