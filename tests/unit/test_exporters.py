"""Exporters: which ones a signal gets, and what an operator hears when they cannot deliver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExportResult

from otel_dify import guard
from otel_dify.export import delivery
from otel_dify.export import exporters as exporters_module
from otel_dify.export.delivery import Watched
from otel_dify.export.exporters import exporters, is_ours
from otel_dify.export.file import FileLogExporter, FileMetricExporter, FileSpanExporter
from otel_dify.process import process
from otel_dify.settings import Settings
from tests.unit.children import in_child

SIGNALS = ("traces", "metrics", "logs")


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test hear what is said once in the life of a process."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    delivery.lost().clear()
    yield
    delivery.lost().clear()


def made(signal: str, **environ: str) -> list[Any]:
    """Make the exporters of a signal, and shut them down again."""
    found = list(exporters(Settings(environ), signal))
    for exporter in found:
        exporter.shutdown()
    return found


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("named", [None, "otlp", "otel_dify", "console,otlp"])
def test_otlp_is_our_own_export(signal: str, named: str | None) -> None:
    environ = {} if named is None else {f"OTEL_{signal.upper()}_EXPORTER": named}
    assert is_ours(Settings(environ), signal)


@pytest.mark.parametrize("named", ["none", "otlp_file", "otlp_proto_http"])
def test_what_is_named_otherwise_is_not(named: str) -> None:
    assert not is_ours(Settings({"OTEL_TRACES_EXPORTER": named}), "traces")


@pytest.mark.parametrize(
    ("name", "kind"), [("otlp_proto_http", HttpSpans), ("otlp_proto_grpc", GrpcSpans)]
)
def test_the_stock_exporters_are_there_by_their_own_names(name: str, kind: type) -> None:
    assert [type(it) for it in made("traces", OTEL_TRACES_EXPORTER=name)] == [kind]


def test_grpc_that_is_not_installed_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exporters_module, "find_spec", lambda _: None)
    assert not is_ours(Settings({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}), "logs")
    [record] = caplog.records
    assert record.getMessage().startswith("OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs the package")


def test_several_exporters_have_each_what_the_other_has() -> None:
    found = made("traces", OTEL_TRACES_EXPORTER="otlp_file, console")
    assert [type(it) for it in found] == [FileSpanExporter, ConsoleSpanExporter]


@pytest.mark.parametrize(
    ("signal", "kind"),
    [("traces", FileSpanExporter), ("metrics", FileMetricExporter), ("logs", FileLogExporter)],
)
def test_each_signal_has_a_file_exporter(signal: str, kind: type) -> None:
    name = f"OTEL_{signal.upper()}_EXPORTER"
    assert [type(it) for it in made(signal, **{name: "otlp_file"})] == [kind]


def test_none_is_no_exporter(caplog: pytest.LogCaptureFixture) -> None:
    assert made("logs", OTEL_LOGS_EXPORTER="none") == []
    assert not caplog.records


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_unknown_exporter_costs_one_line_that_lists_those_there_are(
    signal: str, caplog: pytest.LogCaptureFixture
) -> None:
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    found = made(signal, **{variable: "jaeger,otlp_file"})
    assert len(found) == 1
    [record] = caplog.records
    assert record.getMessage().startswith(f"{variable}='jaeger' names no exporter")
    for name in ("otlp,", "otlp_file", "console", "none"):
        assert name in record.getMessage()


def test_an_exporter_that_cannot_be_made_costs_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Exporters read variables of their own, some of which they refuse."""

    def refuse(_: object) -> None:
        raise ValueError("no such certificate")

    monkeypatch.setattr(HttpSpans, "__init__", refuse)
    assert made("traces", OTEL_TRACES_EXPORTER="otlp_proto_http") == []
    [record] = caplog.records
    assert record.getMessage().startswith(
        "OTEL_TRACES_EXPORTER: exporter 'otlp_proto_http' cannot be made "
        "(ValueError: no such certificate)"
    )
    assert "OTEL_EXPORTER_*" in record.getMessage()


class Exporter:
    """An exporter that answers as it is told."""

    def __init__(self, *answers: Any) -> None:
        self.batches: list[Any] = []
        self._answers = list(answers)

    def export(self, batch: Any) -> Any:
        """Answer, or raise the answer."""
        self.batches.append(batch)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


OK, BAD = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


def test_a_destination_that_fails_says_so_once_and_once_more_when_it_works_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = Exporter(OK, BAD, BAD, OK, OK, BAD)
    Watched(exporter, "traces", "exporter 'x'")
    for _ in range(6):
        exporter.export(["a", "b"])
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["ERROR", "WARNING", "ERROR"]
    assert said[0][1].startswith("traces cannot be delivered: exporter 'x' does not take them")
    assert said[1][1] == "traces are delivered again to exporter 'x'"
    assert delivery.lost() == {("traces", "failed"): 6}


def test_an_exporter_that_raises_is_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK would log each of its exceptions with its stack."""
    exporter = Exporter(ValueError("bad header"), ValueError("bad header"), OK)
    Watched(exporter, "traces", "exporter 'x'")
    assert [exporter.export(["a"]) for _ in range(3)] == [BAD, BAD, OK]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "ValueError: bad header" in said[0]
    assert delivery.lost() == {("traces", "failed"): 2}


@pytest.mark.parametrize(
    ("signal", "success"),
    [
        ("traces", SpanExportResult.SUCCESS),
        ("metrics", MetricExportResult.SUCCESS),
        ("logs", LogRecordExportResult.SUCCESS),
    ],
)
def test_a_forked_child_sends_nothing_of_its_parent(signal: str, success: object) -> None:
    """It has copies of what waits in its parent, which sends it."""
    exporter = Exporter(success, success)
    Watched(exporter, signal, "there")

    def child() -> str:
        return f"{exporter.export([1]) is success} {len(exporter.batches)}"

    assert in_child(child) == "True 0"
    exporter.export([1])
    assert len(exporter.batches) == 1
