"""gRPC, against a real server of grpcio: what it gets, and what its answers mean."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)

from otel_dify.export.sending.outcome import LONGEST_WAIT_S
from otel_dify.export.sending.user_agent import USER_AGENT
from tests.unit.sending.certificates import Authority

CHILD = Path(__file__).with_name("grpc_child.py")
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)


def ran(*cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Run cases in a process of their own and return what came of each."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(CHILD)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    """Run a case that sends one request, and return what came of it."""
    [of_case] = ran(case)
    [only] = of_case["outcomes"]
    found: dict[str, Any] = only
    return found


DELIVERED = {"kind": "Delivered", "rejected": 0, "message": ""}


def test_each_signal_has_its_service() -> None:
    signals = ("traces", "metrics", "logs")
    found = ran(*({"signal": signal, "size": 123} for signal in signals))
    assert [of_case["outcomes"] for of_case in found] == [[DELIVERED]] * 3
    assert [of_case["got"][0]["method"] for of_case in found] == [
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    ]
    assert [of_case["got"][0]["size"] for of_case in found] == [123] * 3


def test_headers_are_metadata_and_it_says_who_it_is() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "X-Team=a%20b, Authorization=Bearer x,x-raw-bin=y"}
    [of_case] = ran({"environ": environ})
    assert of_case["outcomes"] == [DELIVERED]
    metadata = of_case["got"][0]["metadata"]
    assert metadata["x-team"] == "a b"
    assert metadata["authorization"] == "Bearer x"
    assert metadata["x-raw-bin"] == "b'y'"
    assert metadata["user-agent"].startswith(USER_AGENT)


@pytest.mark.parametrize(("name", "packed"), [("none", False), ("gzip", True)])
def test_a_request_is_compressed_as_was_asked_for(name: str, packed: bool) -> None:
    environ = {"OTEL_EXPORTER_OTLP_COMPRESSION": name}
    [of_case] = ran({"environ": environ, "size": 1_000_000})
    assert of_case["got"][0]["size"] == 1_000_000
    assert (of_case["bytes"] < 20_000) is packed


def test_gzip_is_the_default() -> None:
    [of_case] = ran({"size": 1_000_000})
    assert of_case["bytes"] < 20_000


def test_a_closed_transport_connects_anew() -> None:
    [of_case] = ran({"again": True})
    assert of_case["outcomes"] == [DELIVERED] * 2


def test_what_was_rejected_of_a_request_is_told() -> None:
    parts = ExportLogsPartialSuccess(rejected_log_records=3, error_message="too old")
    told = ExportLogsServiceResponse(partial_success=parts)
    assert outcome({"signal": "logs", "response": told.SerializeToString().hex()}) == {
        "kind": "Delivered",
        "rejected": 3,
        "message": "too old",
    }


def test_garbage_in_a_good_answer_is_no_failure() -> None:
    assert outcome({"response": "ffff"}) == DELIVERED


CODES = {
    "CANCELLED": "Retry",
    "UNKNOWN": "Refused",
    "INVALID_ARGUMENT": "Refused",
    "DEADLINE_EXCEEDED": "Retry",
    "NOT_FOUND": "Refused",
    "ALREADY_EXISTS": "Refused",
    "PERMISSION_DENIED": "Denied",
    "UNAUTHENTICATED": "Denied",
    "RESOURCE_EXHAUSTED": "Refused",
    "FAILED_PRECONDITION": "Refused",
    "ABORTED": "Retry",
    "OUT_OF_RANGE": "Retry",
    "UNIMPLEMENTED": "Denied",
    "INTERNAL": "Refused",
    "UNAVAILABLE": "Retry",
    "DATA_LOSS": "Retry",
}


def test_what_a_code_means() -> None:
    """As the table in OTLP's specification has it, but for what is denied."""
    found = ran(*({"code": code, "says": "so\nit is"} for code in CODES))
    outcomes = [of_case["outcomes"][0] for of_case in found]
    assert dict(zip(CODES, (it["kind"] for it in outcomes), strict=True)) == CODES
    for code, it in zip(CODES, outcomes, strict=True):
        assert it["reason"].startswith(f"gRPC {code} (so it is)")
    assert [len(of_case["got"]) for of_case in found] == [1] * len(CODES)


def test_a_receiver_says_how_long_to_wait() -> None:
    found = ran(
        {"code": "UNAVAILABLE", "delay_s": 2.5},
        {"code": "RESOURCE_EXHAUSTED", "delay_s": 0},
        {"code": "UNAVAILABLE", "delay_s": 86_400},
        {"code": "UNAVAILABLE"},
        {"code": "UNAVAILABLE", "details": "ffff"},
        {"code": "RESOURCE_EXHAUSTED", "details": "ffff"},
    )
    outcomes = [of_case["outcomes"][0] for of_case in found]
    assert [(it["kind"], it.get("after_s")) for it in outcomes] == [
        ("Retry", 2.5),
        ("Retry", 0.0),
        ("Retry", LONGEST_WAIT_S),
        ("Retry", None),
        ("Retry", None),
        ("Refused", None),
    ]


def test_a_request_that_is_too_large_for_the_receiver_is_refused() -> None:
    case = {"size": 2000, "options": [["grpc.max_receive_message_length", 1000]]}
    found = outcome(case)
    assert found["kind"] == "Refused"
    assert found["reason"].startswith("gRPC RESOURCE_EXHAUSTED (")


def test_a_receiver_that_never_answers_is_left() -> None:
    found = outcome({"hangs": True, "timeout_s": 0.3})
    assert found["kind"] == "Retry"
    assert found["reason"].startswith("gRPC DEADLINE_EXCEEDED")


def test_a_port_without_a_receiver_is_for_a_later_try() -> None:
    found = outcome({"endpoint": "http://127.0.0.1:1"})
    assert found["kind"] == "Retry"
    assert found["reason"].startswith("gRPC UNAVAILABLE (")


def test_an_address_needs_no_scheme_where_it_is_said_to_be_insecure() -> None:
    environ = {"OTEL_EXPORTER_OTLP_INSECURE": "true"}
    assert outcome({"endpoint": "localhost:PORT", "environ": environ}) == DELIVERED
    assert outcome({"endpoint": "dns:///localhost:PORT", "environ": environ}) == DELIVERED


def test_http_goes_before_insecure() -> None:
    environ = {"OTEL_EXPORTER_OTLP_INSECURE": "false"}
    assert outcome({"environ": environ}) == DELIVERED


def test_tls(authority: Authority, stranger: Authority, missing: Path) -> None:
    made = authority.sign("localhost")
    server = [str(made.path), str(made.key)]
    ca, other = (
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(it.own.path)} for it in (authority, stranger)
    )
    none = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(missing)}
    found = ran(
        {"endpoint": "https://localhost:PORT", "server": server, "environ": ca},
        {"endpoint": "localhost:PORT", "server": server, "environ": ca},
        {"endpoint": "https://localhost:PORT", "server": server, "environ": other},
        {"endpoint": "https://localhost:PORT", "server": server, "environ": none},
    )
    good, without_scheme, untrusted, unreadable = (of_case["outcomes"][0] for of_case in found)
    assert good == without_scheme == DELIVERED
    assert untrusted["kind"] == "Retry"
    assert "CERTIFICATE_VERIFY_FAILED" in untrusted["reason"]
    assert unreadable["kind"] == "Retry"
    assert unreadable["reason"] == (
        f"the file {missing} (OTEL_EXPORTER_OTLP_CERTIFICATE) cannot be used: "
        "No such file or directory"
    )
    assert [len(of_case["got"]) for of_case in found] == [1, 1, 0, 0]


def test_a_renewed_authority_is_taken_without_a_restart(
    authority: Authority, stranger: Authority, missing: Path
) -> None:
    made = authority.sign("localhost")
    shutil.copy(stranger.own.path, missing)
    case = {
        "endpoint": "https://localhost:PORT",
        "server": [str(made.path), str(made.key)],
        "environ": {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(missing)},
        "renewed": str(authority.own.path),
    }
    [of_case] = ran(case)
    assert [it["kind"] for it in of_case["outcomes"]] == ["Retry", "Delivered"]


def test_a_client_shows_its_certificate(authority: Authority, tmp_path: Path) -> None:
    made, us = authority.sign("localhost"), authority.sign("us")
    both = tmp_path / "both.pem"
    both.write_text(us.path.read_text() + us.key.read_text())
    ca = {"OTEL_EXPORTER_OTLP_CERTIFICATE": str(authority.own.path)}
    case = {
        # gRPC tries to connect again until then.
        "timeout_s": 2,
        "endpoint": "https://localhost:PORT",
        "server": [str(made.path), str(made.key), str(authority.own.path)],
    }
    apart = ca | {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(us.path),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(us.key),
    }
    together = ca | {"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(both)}
    found = ran(*(case | {"environ": environ} for environ in (apart, together, ca)))
    kinds = [of_case["outcomes"][0]["kind"] for of_case in found]
    assert kinds == ["Delivered", "Delivered", "Retry"]
    assert [len(of_case["got"]) for of_case in found] == [1, 1, 0]
