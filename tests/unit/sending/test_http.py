"""HTTP: what goes over the wire, what an answer means, and which connections there are."""

from __future__ import annotations

import gzip
import socket
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from otel_dify.export.sending import connection
from otel_dify.export.sending.answers import retry_after
from otel_dify.export.sending.compression import has_zstd
from otel_dify.export.sending.connecting import connect
from otel_dify.export.sending.connection import LARGEST_BODY
from otel_dify.export.sending.http import HttpTransport
from otel_dify.export.sending.outcome import LONGEST_WAIT_S, Delivered, Denied, Refused, Retry
from otel_dify.export.sending.user_agent import USER_AGENT
from tests.unit.sending.conftest import To
from tests.unit.sending.receiver import HANG_UP, OK, Receiver, response, trickling

BODY = b"the bytes of a request " * 400
TIMEOUT_S = 20.0
SHORT_S = 0.3


def test_a_request_is_a_post_of_protobuf_to_the_signals_path(to: To) -> None:
    with Receiver() as receiver:
        sent = to(receiver.url, OTEL_EXPORTER_OTLP_HEADERS="x-team=a%20b").send(BODY, TIMEOUT_S)
    assert sent == Delivered()
    [request] = receiver.requests
    assert request.line == "POST /v1/traces HTTP/1.1"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["user-agent"] == USER_AGENT
    assert request.headers["x-team"] == "a b"
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert request.headers["content-length"] == str(len(request.body))


UNPACKED: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}


@pytest.mark.parametrize("name", UNPACKED)
def test_a_body_arrives_compressed_as_was_asked_for(to: To, name: str) -> None:
    with Receiver() as receiver:
        to(receiver.url, OTEL_EXPORTER_OTLP_COMPRESSION=name).send(BODY, TIMEOUT_S)
    [request] = receiver.requests
    assert UNPACKED[name](request.body) == BODY
    assert request.headers.get("content-encoding", "none") == name
    assert (len(request.body) < len(BODY) / 10) is (name != "none")


@pytest.mark.skipif(not has_zstd(), reason="needs the package zstandard or Python 3.14")
def test_a_body_arrives_compressed_by_zstd(to: To) -> None:
    if sys.version_info >= (3, 14):
        from compression.zstd import decompress
    else:
        from zstandard import decompress

    with Receiver() as receiver:
        to(receiver.url, OTEL_EXPORTER_OTLP_COMPRESSION="zstd").send(BODY, TIMEOUT_S)
    [request] = receiver.requests
    assert decompress(request.body) == BODY
    assert request.headers["content-encoding"] == "zstd"


def test_an_empty_body_is_sent_as_well(to: To) -> None:
    with Receiver() as receiver:
        transport = to(receiver.url, OTEL_EXPORTER_OTLP_COMPRESSION="none")
        assert transport.send(b"", TIMEOUT_S) == Delivered()
    assert receiver.requests[0].headers["content-length"] == "0"


def test_one_connection_serves_all_requests(to: To) -> None:
    with Receiver() as receiver:
        transport = to(receiver.url)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(5)] == [Delivered()] * 5
    assert receiver.accepted == 1


def test_a_closed_transport_connects_anew(to: To) -> None:
    with Receiver() as receiver:
        transport = to(receiver.url)
        transport.send(BODY, TIMEOUT_S)
        transport.close()
        transport.close()
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
    assert receiver.accepted == 2


SAID = "too\nold"
REJECTED: dict[str, Any] = {
    "traces": traces.ExportTraceServiceResponse(
        partial_success=traces.ExportTracePartialSuccess(rejected_spans=7, error_message=SAID)
    ),
    "logs": logs.ExportLogsServiceResponse(
        partial_success=logs.ExportLogsPartialSuccess(rejected_log_records=7, error_message=SAID)
    ),
    "metrics": metrics.ExportMetricsServiceResponse(
        partial_success=metrics.ExportMetricsPartialSuccess(
            rejected_data_points=7, error_message=SAID
        )
    ),
}


@pytest.mark.parametrize("signal", REJECTED)
def test_what_was_rejected_of_a_request_is_told_for_each_signal(to: To, signal: str) -> None:
    with Receiver(response(200, REJECTED[signal].SerializeToString())) as receiver:
        assert to(receiver.url).send(BODY, TIMEOUT_S) == Delivered(7, "too old")


def test_a_warning_without_a_rejection_is_told(to: To) -> None:
    told = traces.ExportTraceServiceResponse(
        partial_success=traces.ExportTracePartialSuccess(error_message="use v2")
    )
    with Receiver(response(200, told.SerializeToString())) as receiver:
        assert to(receiver.url).send(BODY, TIMEOUT_S) == Delivered(0, "use v2")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(response(200, b"\xff\xff<html>"), id="garbage"),
        pytest.param(response(200, b'{"partialSuccess":{}}'), id="JSON"),
        pytest.param(response(202), id="accepted"),
        pytest.param(response(204), id="no content"),
        pytest.param(response(200, b"\0" * (LARGEST_BODY + 1)), id="too long"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", id="cut off"),
        pytest.param(CHUNKED + b"nonsense\r\n", id="broken chunk"),
        pytest.param(CHUNKED + b"2\r\n\x0a\x00\r\n0\r\n\r\n", id="chunks"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", id="ended by closing"),
    ],
)
def test_what_was_answered_with_success_is_delivered_whatever_the_body_is(
    to: To, answer: bytes
) -> None:
    def and_hang_up(talking: Any) -> bool:
        talking.sendall(answer)
        return False

    with Receiver(and_hang_up, OK) as receiver:
        transport = to(receiver.url)
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
        # And what is left of it is not taken for the answer to the next.
        assert transport.send(BODY, TIMEOUT_S) == Delivered()
    assert len(receiver.requests) == 2


def test_a_connection_with_a_body_that_was_left_is_not_kept(to: To) -> None:
    with Receiver(response(200, b"\0" * (LARGEST_BODY + 1)), OK) as receiver:
        transport = to(receiver.url)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
    assert [request.connection for request in receiver.requests] == [0, 1]


def test_a_connection_is_kept_over_an_answer_with_a_body(to: To) -> None:
    whole = CHUNKED + b"2\r\n\x0a\x00\r\n0\r\n\r\n"
    with Receiver(response(200, b"\x0a\x00"), whole, response(503, b"busy"), OK) as receiver:
        transport = to(receiver.url)
        outcomes = [type(transport.send(BODY, TIMEOUT_S)) for _ in range(4)]
    assert outcomes == [Delivered, Delivered, Retry, Delivered]
    assert receiver.accepted == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, Denied),
        (403, Denied),
        (404, Denied),
        (405, Denied),
        (407, Denied),
        (408, Retry),
        (413, Refused),
        (415, Refused),
        (422, Refused),
        (429, Retry),
        (431, Refused),
        (500, Refused),
        (501, Denied),
        (502, Retry),
        (503, Retry),
        (504, Retry),
        (505, Refused),
        (301, Denied),
        (302, Denied),
        (303, Denied),
        (307, Denied),
        (599, Refused),
    ],
)
def test_what_a_status_means(to: To, status: int, kind: type) -> None:
    with Receiver(response(status)) as receiver:
        outcome = to(receiver.url).send(BODY, TIMEOUT_S)
    assert type(outcome) is kind
    assert isinstance(outcome, Retry | Refused | Denied)
    assert outcome.reason.startswith(f"HTTP {status}")
    assert len(receiver.requests) == 1


def test_a_reason_has_what_the_receiver_says(to: To) -> None:
    told = Status(code=3, message="invalid\n trace id").SerializeToString()
    proto = {"Content-Type": "application/x-protobuf"}
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    answers = (
        response(400, told, proto),
        response(400, b"no such tenant", plain),
        response(400, b"<html>", {"Content-Type": "text/html"}),
        response(400, b"\xff\xff", proto),
    )
    with Receiver(*answers) as receiver:
        transport = to(receiver.url)
        assert [transport.send(BODY, TIMEOUT_S) for _ in answers] == [
            Refused("HTTP 400 Bad Request (invalid trace id)"),
            Refused("HTTP 400 Bad Request (no such tenant)"),
            Refused("HTTP 400 Bad Request"),
            Refused("HTTP 400 Bad Request"),
        ]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_says_how_long_to_wait(to: To, status: int) -> None:
    with Receiver(response(status, headers={"Retry-After": "7"})) as receiver:
        outcome = to(receiver.url).send(BODY, TIMEOUT_S)
    assert isinstance(outcome, Retry)
    assert outcome.after_s == 7


NOW = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("86400", LONGEST_WAIT_S),
        ("9" * 5000, LONGEST_WAIT_S),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10.0),
        ("Sun Nov  6 08:49:47 1994", 10.0),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0.0),
        ("Sun, 06 Nov 2094 08:49:37 GMT", LONGEST_WAIT_S),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("inf", None),
        ("٣", None),
        ("Sun, 99 Nov 1994 99:99:99 GMT", None),
        ("Sun, 06 Nov 99999999 08:49:37 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_never_long(value: str, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


def test_a_redirection_within_the_receiver_is_followed(to: To) -> None:
    moved = response(307, headers={"Location": "/otlp/v1/traces?x=1"})
    with Receiver(moved, OK) as receiver:
        assert to(receiver.url).send(BODY, TIMEOUT_S) == Delivered()
    lines = [request.line for request in receiver.requests]
    assert lines == ["POST /v1/traces HTTP/1.1", "POST /otlp/v1/traces?x=1 HTTP/1.1"]
    first, second = receiver.requests
    assert first.body == second.body
    assert receiver.accepted == 1


def test_a_redirection_to_somebody_else_is_not_followed_and_is_told(to: To) -> None:
    """Headers with credentials would go there."""
    with Receiver() as other:
        moved = response(308, headers={"Location": f"{other.url}/v1/traces"})
        with Receiver(moved) as receiver:
            outcome = to(receiver.url).send(BODY, TIMEOUT_S)
    assert isinstance(outcome, Denied)
    assert f"redirects to {other.url}/v1/traces" in outcome.reason
    assert other.accepted == 0
    assert len(receiver.requests) == 1


def test_a_redirection_to_what_is_no_address_is_told(to: To) -> None:
    with Receiver(response(307, headers={"Location": "http://[/v1/traces"})) as receiver:
        outcome = to(receiver.url).send(BODY, TIMEOUT_S)
    assert isinstance(outcome, Denied)
    assert "redirects to http://[/v1/traces" in outcome.reason


def test_redirections_in_a_circle_end(to: To) -> None:
    with Receiver(response(307, headers={"Location": "/v1/traces"})) as receiver:
        assert isinstance(to(receiver.url).send(BODY, TIMEOUT_S), Denied)
    assert len(receiver.requests) == 4


def test_a_connection_that_was_closed_meanwhile_costs_nothing(to: To) -> None:
    closed = response(200, headers={"Connection": "close"})
    with Receiver(closed, OK) as receiver:
        transport = to(receiver.url)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
    assert len(receiver.requests) == 2


def test_a_kept_connection_that_breaks_under_a_request_is_replaced_at_once(to: To) -> None:
    """The receiver has seen the request twice: delivery is at least once."""
    with Receiver(OK, HANG_UP, OK) as receiver:
        transport = to(receiver.url)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
    first, second, third = receiver.requests
    assert [first.connection, second.connection, third.connection] == [0, 0, 1]
    assert second.body == third.body


def test_a_new_connection_that_breaks_is_for_the_caller_to_replace(to: To) -> None:
    with Receiver(HANG_UP) as receiver:
        outcome = to(receiver.url).send(BODY, TIMEOUT_S)
    assert isinstance(outcome, Retry)
    assert len(receiver.requests) == 1


def test_a_request_is_not_sent_again_where_an_answer_has_begun(to: To) -> None:
    def begin(talking: Any) -> bool:
        talking.sendall(b"HTTP/1.1 2")
        # Closing it now resets the connection.
        talking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    with Receiver(OK, begin) as receiver:
        transport = to(receiver.url)
        transport.send(BODY, TIMEOUT_S)
        outcome = transport.send(BODY, TIMEOUT_S)
    assert isinstance(outcome, Retry)
    assert len(receiver.requests) == 2


def test_an_answer_that_comes_before_the_end_of_a_large_request_counts(to: To) -> None:
    """Whoever finds a request too large says so and hangs up."""

    def refuse(talking: Any) -> bool:
        talking.sendall(response(413))
        return False

    with Receiver(refuse, reads_bodies=False) as receiver:
        transport = to(receiver.url, OTEL_EXPORTER_OTLP_COMPRESSION="none")
        outcome = transport.send(b"\0" * 50_000_000, TIMEOUT_S)
    assert isinstance(outcome, Refused)
    assert outcome.reason.startswith("HTTP 413 ")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "first",
    [
        pytest.param(b"", id="a status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Slow: ", id="a header"),
    ],
)
def test_a_receiver_that_answers_byte_by_byte_for_ever_is_left(to: To, first: bytes) -> None:
    receiver: Receiver
    with Receiver(trickling(lambda: receiver, first, b"x")) as receiver:
        outcome = to(receiver.url).send(BODY, SHORT_S)
    assert isinstance(outcome, Retry)
    assert "has not answered within 0.3 s" in outcome.reason


@pytest.mark.timeout(60)
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", CHUNKED])
def test_a_body_that_never_ends_is_left_and_the_request_is_delivered(to: To, head: bytes) -> None:
    receiver: Receiver
    with Receiver(trickling(lambda: receiver, head, b"1\r\nx\r\n")) as receiver:
        assert to(receiver.url).send(BODY, SHORT_S) == Delivered()


def test_it_is_not_traced(to: To, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled: list[bool] = []

    def connecting(*args: Any) -> Any:
        enabled.append(is_instrumentation_enabled())
        return connect(*args)

    monkeypatch.setattr(connection, "connect", connecting)
    with Receiver() as receiver:
        to(receiver.url).send(BODY, TIMEOUT_S)
    assert enabled == [False]
    assert is_instrumentation_enabled()


@pytest.mark.parametrize("url", ["ftp://collector", "collector:4318", "/v1/traces", "http://"])
def test_an_address_that_is_none_is_told_in_words(url: str) -> None:
    outcome = HttpTransport(url, headers={}).send(BODY, TIMEOUT_S)
    assert outcome == Retry(f"{url} is no address of HTTP; expected http://… or https://…")
