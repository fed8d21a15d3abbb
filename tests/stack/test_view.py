"""``otel-dify view`` and ``diff`` on what the real Jaeger and Loki answer."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collector.native.query import Loki, wait_until
from collector.native.stack import Stack
from examples.demo.runs import EXAMPLES, whole
from examples.host.up import Host
from otel_dify import table as t
from otel_dify.cli.asking import Backend
from otel_dify.cli.jaeger import Jaeger
from otel_dify.cli.jaeger_json import spans_of
from otel_dify.cli.otlp_json import read
from otel_dify.cli.records import Span
from otel_dify.cli.traces import Trace, group, of_run
from tests.cli.commands import commands, shell
from tests.cli.viewing import run as command

_US = 1000


@dataclass(frozen=True)
class Ran:
    """Runs of the host, in the stack and in files.

    Attributes:
        stack: the stack.
        files: the same telemetry as OTLP JSON lines.
        runs: ids of the runs, by app.
        moment: when all of them had ended, as ISO 8601.
    """

    stack: Stack
    files: Path
    runs: dict[str, str]
    moment: str

    @property
    def jaeger(self) -> str:
        """Where Jaeger is."""
        return self.stack.layout.jaeger

    def trace(self, app: str) -> Trace:
        """Return the trace of an app's run, from the files."""
        [trace] = of_run(group(read(self.files).spans), self.runs[app])
        return trace


@pytest.fixture(scope="module")
def ran(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run each example once, with telemetry going to the Collector and into files."""
    folder = tmp_path_factory.mktemp("host")
    files = folder / "telemetry"
    settings = {
        "OTEL_TRACES_EXPORTER": "otlp,otlp_file",
        "OTEL_LOGS_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_ENDPOINT": stack.layout.otlp_http,
        "OTEL_DIFY_FILE_PATH": str(files),
        "OTEL_DIFY_STATE_PATH": str(folder / "state"),
        # The stack has traces of other tests as well.
        "OTEL_SERVICE_NAME": "dify-viewed",
    }
    prefix = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    runs: dict[str, str] = {}
    with Host(folder / "host", prefix=prefix, env=settings) as host:
        for example in EXAMPLES:
            answer = host.run_app(example.app, example.inputs, stream=example.stream)
            runs[example.app] = answer["workflow_run_id"]
    asked = Jaeger(Backend(stack.layout.jaeger, {}))
    for run_id in runs.values():
        wait_until(
            lambda run_id=run_id: group(asked.by_id(run_id).spans),  # type: ignore[misc] # bound to each
            lambda traces: len(traces) == 1 and whole(traces[0]),
            what=f"whole trace of run {run_id} in Jaeger",
            timeout=60,
        )
    return Ran(stack, files, runs, datetime.now(UTC).isoformat())


def view(*arguments: object) -> str:
    """Run `otel-dify view`, which must succeed."""
    shown = command("view", *arguments)
    assert shown.exit_code == 0, shown.stderr
    return shown.stdout


@pytest.mark.parametrize("app", ["support_triage", "research_batch", "flaky_enrichment"])
def test_a_run_from_jaeger_is_shown_as_from_files(ran: Ran, app: str) -> None:
    run_id = ran.runs[app]
    assert view(run_id, "--from", ran.jaeger) == view(run_id, "--from", ran.files)


@pytest.mark.parametrize(
    "written",
    [
        lambda run_id, _: run_id[:9],
        lambda run_id, _: run_id.replace("-", "").upper(),
        lambda _, trace_id: trace_id,
        lambda _, trace_id: trace_id[:11],
    ],
    ids=["start of the run's", "without hyphens", "trace", "start of the trace's"],
)
def test_ids_are_found_in_jaeger_however_much_of_them_is_given(
    ran: Ran, written: Callable[[str, str], str]
) -> None:
    run_id = ran.runs["research_batch"]
    text = written(run_id, ran.trace("research_batch").id)
    assert view(text, ran.jaeger) == view(run_id, ran.jaeger)


def test_the_latest_run_and_the_list_are_there(ran: Ran) -> None:
    assert f"run    {ran.runs['flaky_enrichment']}" in view("latest", ran.jaeger)
    listed = view(ran.jaeger)
    for run_id in ran.runs.values():
        assert run_id in listed


def comparable(span: Span) -> tuple[object, ...]:
    """What of a span Jaeger's own JSON has as OTLP has it.

    Its times are whole microseconds, and lists their JSON.
    """
    attributes = {
        key: json.dumps(value, separators=(",", ":")) if isinstance(value, list) else value
        for key, value in span.attributes.items()
    }
    return (
        *(span.trace_id, span.span_id, span.parent_id, span.name, span.kind, span.failed),
        *(span.message, span.process, attributes),
        *(span.start_ns // _US, [(event.name, event.at_ns // _US) for event in span.events]),
    )


@pytest.mark.parametrize("app", ["support_triage", "research_batch", "flaky_enrichment"])
def test_jaegers_own_json_says_the_same(ran: Ran, app: str) -> None:
    """What a Jaeger that has no /api/v3 answers, and its pages let one save."""
    trace = ran.trace(app)
    answer: dict[str, Any] = Backend(ran.jaeger, {}).get(f"/api/traces/{trace.id}")
    found = sorted(spans_of(answer), key=lambda span: span.span_id)
    expected = sorted(trace.spans, key=lambda span: span.span_id)
    assert [comparable(span) for span in found] == [comparable(span) for span in expected]


def test_what_was_saved_from_jaegers_pages_is_a_file_as_any_other(ran: Ran, tmp_path: Path) -> None:
    run_id = ran.runs["flaky_enrichment"]
    saved = tmp_path / "trace.json"
    answer = Backend(ran.jaeger, {}).get(f"/api/traces/{ran.trace('flaky_enrichment').id}")
    saved.write_text(json.dumps(answer), encoding="utf-8")
    shown = view(run_id[:8], saved)
    assert "✗ llm Summarise failed: InvokeServerUnavailableError" in shown


def test_its_log_lines_come_from_loki(ran: Ran) -> None:
    run_id = ran.runs["flaky_enrichment"]
    loki = Loki(ran.stack.layout.loki)
    query = f'{{service_name=~".+"}} | trace_id="{ran.trace("flaky_enrichment").id}"'
    names = {t.RUN.event, t.REQUEST.event}
    wait_until(
        lambda: loki.query_range(query),
        lambda lines: names <= {line.labels.get("dify_event_name") for line in lines},
        what="events of the run in Loki",
        timeout=60,
    )
    shown = view(run_id, "--logs", "--from", ran.jaeger, "--loki", ran.stack.layout.loki)
    lines = [line for line in shown.splitlines() if "≡" in line]
    assert len(lines) == len(loki.query_range(query))
    assert "ERROR  dify.workflow.run  run" in shown
    assert "Traceback (most recent call last):" in shown


def test_without_loki_its_absence_is_said(ran: Ran) -> None:
    shown = command("view", "latest", "--logs", "--from", ran.jaeger)
    assert shown.exit_code == 2
    assert "--loki" in shown.stderr


def test_runs_and_windows_are_compared_from_jaeger(ran: Ran) -> None:
    pair = (ran.runs["support_triage"], ran.runs["flaky_enrichment"])
    from_jaeger = command("diff", *pair, ran.jaeger)
    assert from_jaeger.stdout == command("diff", *pair, ran.files).stdout
    options = ("--app", "flaky_enrichment", "--before", ran.moment, "--json")
    found = json.loads(command("diff", *options, ran.jaeger).stdout)
    assert found["before"]["statuses"] == {"failed": 1}
    assert found["after"]["runs"] == 0


@pytest.mark.parametrize("line", commands("jaeger"))
def test_a_command_of_the_page_works_as_written(ran: Ran, tmp_path: Path, line: str) -> None:
    addresses = {"JAEGER": ran.jaeger, "LOKI": ran.stack.layout.loki}
    shown = shell(line, tmp_path, addresses)
    assert shown.returncode == 0, shown.stderr
    assert len(shown.stdout) > 10


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9", "does not answer"),
        ("{prometheus}", "answered 404"),
    ],
)
def test_an_address_that_is_not_jaegers_is_said(ran: Ran, address: str, said: str) -> None:
    shown = command("view", "latest", address.format(prometheus=ran.stack.layout.prometheus))
    assert shown.exit_code == 1
    assert said in shown.stderr
