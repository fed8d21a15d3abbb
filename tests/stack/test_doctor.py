"""``otel-dify doctor`` against the real Collector, with a token, and the real backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.native.layout import Layout, Ports
from collector.native.query import Jaeger, Loki, Prometheus
from collector.native.stack import Stack

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
DROP_IN = """
extensions:
  bearertokenauth: {token: right}
receivers:
  otlp:
    protocols:
      http: {auth: {authenticator: bearertokenauth}}
      grpc: {auth: {authenticator: bearertokenauth}}
service:
  extensions: [file_storage, health_check, json_log_encoding, bearertokenauth]
"""
BY_HTTP, BY_GRPC = (
    {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
)


@pytest.fixture(scope="module")
def guarded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack whose Collector asks for a token."""
    drop_in = tmp_path_factory.mktemp("drop_in") / "token.yaml"
    drop_in.write_text(DROP_IN)
    layout = Layout(tmp_path_factory.mktemp("stack"), Ports.free(), (drop_in,))
    with Stack(layout) as running:
        yield running


def doctor(layout: Layout, *options: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Run it where all addresses are given; return its exit code and what it found."""
    grpc = environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc"
    known = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "OTEL_EXPORTER_OTLP_ENDPOINT": layout.otlp_grpc if grpc else layout.otlp_http,
        "JAEGER_URL": layout.jaeger,
        "PROMETHEUS_URL": layout.prometheus,
        "LOKI_URL": layout.loki,
    }
    checks = ("--only", "collector", "--only", "backends", "--only", "clock")
    told = subprocess.run(
        [sys.executable, "-m", "otel_dify.cli", "doctor", "--json", *checks, *options],
        env={**known, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stderr == ""
    found = json.loads(told.stdout)["findings"]
    return told.returncode, {finding["about"]: finding for finding in found}


@pytest.mark.parametrize("protocol", [BY_HTTP, BY_GRPC], ids=["http", "grpc"])
def test_with_the_right_token_all_three_come_out_of_the_backends(
    guarded_stack: Stack, protocol: dict[str, str]
) -> None:
    layout = guarded_stack.layout
    code, found = doctor(layout, **protocol, **{HEADERS: "authorization=Bearer%20right"})
    assert code == 0
    assert {each["severity"] for each in found.values()} == {"ok"}
    assert {"backends.jaeger", "backends.prometheus", "backends.loki"} < found.keys()
    # What it says of them is so.
    assert Jaeger(layout.jaeger).search("otel-dify-doctor")
    name = '{__name__=~"otel_dify_doctor_time.*"}'
    assert len(Prometheus(layout.prometheus).query(name)) == 1
    lines = Loki(layout.loki).query_range('{service_name="otel-dify-doctor"}')
    assert {line.body for line in lines} == {"otel-dify doctor: a test log record"}


@pytest.mark.parametrize("protocol", [BY_HTTP, BY_GRPC], ids=["http", "grpc"])
@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ("", "It asks for credentials"),
        ("authorization=Bearer%20wrong", "is not the one that the Collector knows"),
    ],
)
def test_without_a_token_and_with_a_wrong_one_it_says_so(
    guarded_stack: Stack, protocol: dict[str, str], headers: str, said: str
) -> None:
    code, found = doctor(guarded_stack.layout, **protocol, **{HEADERS: headers})
    assert code == 1
    assert found["collector.takes"]["severity"] == "problem"
    assert said in found["collector.takes"]["do"]
    assert "was not taken" in found["backends.jaeger"]["what"]


def test_an_address_of_one_protocol_for_the_other_is_a_problem(guarded_stack: Stack) -> None:
    layout = guarded_stack.layout
    for environ in (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": layout.otlp_grpc},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": layout.otlp_http, **BY_GRPC},
    ):
        code, found = doctor(layout, **environ)
        assert code == 1
        assert found["collector.takes"]["severity"] == "problem"


def test_a_backend_that_is_down_is_told_from_one_that_has_nothing(guarded_stack: Stack) -> None:
    layout, right = guarded_stack.layout, {HEADERS: "authorization=Bearer%20right"}
    guarded_stack.stop("loki")
    try:
        code, found = doctor(layout, "--wait", "2", **right)
        assert code == 1
        assert "cannot be asked" in found["backends.loki"]["what"]
        # Another program at that address, which answers everything with a page.
        code, found = doctor(layout, "--loki", layout.jaeger, **right)
        assert "is no Loki" in found["backends.loki"]["what"]
    finally:
        guarded_stack.start("loki")
    guarded_stack.stop("jaeger")
    try:
        _, found = doctor(layout, "--jaeger", layout.prometheus, "--wait", "2", **right)
        assert found["backends.jaeger"]["severity"] == "problem"
    finally:
        guarded_stack.start("jaeger")
