"""The demo with a Collector: what Jaeger, Prometheus and Loki answer, asked over their APIs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from collector.native.build import ensure
from collector.native.layout import Layout, Ports
from collector.native.programs import COLLECTOR, JAEGER, LOKI, PROMETHEUS
from collector.native.query import Jaeger, LogLine, Loki, Prometheus, wait_until
from collector.native.stack import Stack
from examples.demo.runs import (
    EXAMPLES,
    PATIENCE_SECONDS,
    ROOT,
    WIDTH,
    run,
    say,
    start_host,
    title,
    wait_if,
    whole,
)
from otel_dify import table as t
from otel_dify.cli.asking import Backend
from otel_dify.cli.jaeger import Jaeger as AskedJaeger
from otel_dify.cli.loki import log_of
from otel_dify.cli.records import Log
from otel_dify.cli.tables import log_lines
from otel_dify.cli.traces import Trace, group
from otel_dify.cli.waterfall import waterfall

_COMPOSE = (Path(__file__).parent / "compose.yaml", ROOT / "docker-compose.otel.yml")
_TOKENS = "sum by (gen_ai_token_type) (gen_ai_client_token_usage_sum)"
_RUNS = 'sum by (status) (dify_requests_total{type="workflow"})'
_QUERIES = (
    _RUNS,
    'sum by (node_type) (dify_errors_total{type="node"})',
    "sum by (gen_ai_request_model) (dify_model_cost_total)",
    "histogram_quantile(0.95, sum by (le) (dify_workflow_duration_seconds_bucket))",
    _TOKENS,
)


def backends(stack: str, folder: Path, *, keep: bool) -> None:
    """Start the backends, send to their Collector, and show what each has of the runs.

    Args:
        stack: `native` or `docker`.
        folder: for all that the demo and the native backends write.
        keep: whether to stay up until interrupted.
    """
    say(f"Starting Collector, Jaeger, Prometheus and Loki ({stack})")
    with ExitStack() as exits:
        layout = STACKS[stack](exits, folder)
        sender = start_host(folder, OTEL_EXPORTER_OTLP_ENDPOINT=layout.otlp_http)
        host = exits.enter_context(sender)
        jaeger = Jaeger(layout.jaeger)
        ended: Counter[str] = Counter()
        for example in EXAMPLES:
            run_id, status = run(host, example)
            ended[status] += 1
            trace = _from_jaeger(jaeger, run_id)
            numbers = {process: n for n, process in enumerate(trace.processes, start=1)}
            say(f"   Jaeger has it, searched by dify.workflow.run_id={run_id}", "")
            say(*waterfall(trace, numbers, WIDTH))
        _show_prometheus(Prometheus(layout.prometheus), ended, host.model_stats())
        say(*log_lines(_from_loki(Loki(layout.loki), trace, run_id), numbers))
        say(title("Look yourself"), *_links(layout, trace.id, pages=stack == "docker"))
        if not keep:
            say(f"   … while they run: make demo STACK={stack} KEEP=1")
        wait_if(keep, host)


def _links(layout: Layout, trace_id: str, *, pages: bool) -> list[str]:
    """Make the links to a trace, a metric and the logs; to the APIs where there are no pages."""
    query = quote('{service_name=~"dify-.+"} | trace_id="' + trace_id + '"')
    tokens = quote(_TOKENS)
    loki = f"   Loki        {layout.loki}/loki/api/v1/query_range?query={query}"
    if pages:
        prometheus = f"{layout.prometheus}/query?g0.expr={tokens}"
        return [
            f"   Jaeger      {Jaeger(layout.jaeger).link(trace_id)}",
            f"   Prometheus  {prometheus}",
            loki,
        ]
    return [
        f"   Jaeger      {layout.jaeger}/api/v3/traces/{trace_id}",
        f"   Prometheus  {layout.prometheus}/api/v1/query?query={tokens}",
        loki,
        "   (APIs only: the modules they are built from have no pages, the images have)",
    ]


def _from_jaeger(jaeger: Jaeger, run_id: str) -> Trace:
    """Search Jaeger for a run by its id, and fetch its trace when it is whole."""
    asked = AskedJaeger(Backend(jaeger.url, {}))

    def ask() -> list[Trace]:
        return group(asked.by_id(run_id).spans)

    def arrived(traces: list[Trace]) -> bool:
        return len(traces) == 1 and whole(traces[0])

    what = f"whole trace of run {run_id} in Jaeger"
    return wait_until(ask, arrived, timeout=PATIENCE_SECONDS, what=what)[0]


def _show_prometheus(
    prometheus: Prometheus,
    ended: Mapping[str, int],
    counted: Mapping[str, Mapping[str, Any]],
) -> None:
    """Ask Prometheus for runs and tokens, and hold them against what is known of them.

    A run is counted after all that happened in it, and a process sends all its metrics at once: as
    soon as the runs are there, so is the rest.

    Args:
        prometheus: whom to ask.
        ended: how many runs ended with which status, as the API said.
        counted: the model server's own counts.
    """
    models = [model for kind in counted.values() for model in kind.values()]
    truth = {kind: sum(m.get(f"{kind}_tokens", 0) for m in models) for kind in ("input", "output")}

    _wait_for(prometheus, _RUNS, "status", ended)
    _wait_for(prometheus, _TOKENS, "gen_ai_token_type", truth)
    say(title("Prometheus"))
    for query in _QUERIES:
        say(f"   {click.style(query, bold=True)}")
        for series in prometheus.query(query):
            labels = " ".join(f"{k}={v}" for k, v in series.labels.items())
            say(f"      {labels or 'all':32} {series.value:.6g}")
    said = " and ".join(f"{number} {kind}" for kind, number in truth.items())
    say(f"   The model server itself counted {said} tokens: the same.")


def _wait_for(prometheus: Prometheus, query: str, label: str, known: Mapping[str, int]) -> None:
    """Ask until a query answers, by a label, what is known."""
    wait_until(
        lambda: {series.labels[label]: series.value for series in prometheus.query(query)},
        lambda told: told == known,
        timeout=PATIENCE_SECONDS,
        what=f"answer {dict(known)} to {query} in Prometheus, which is what happened",
    )


def _from_loki(loki: Loki, trace: Trace, run_id: str) -> list[Log]:
    """Ask Loki for the log records of a trace, until the event that ends its run is there."""
    query = f'{{service_name=~"dify-.+"}} | trace_id="{trace.id}"'

    def ended(lines: list[LogLine]) -> bool:
        names = (line.labels.get("dify_event_name") for line in lines)
        return t.RUN.event in names

    what = f"end of run {run_id} in Loki"
    lines = wait_until(lambda: loki.query_range(query), ended, timeout=PATIENCE_SECONDS, what=what)
    say(title("Loki"), f"   {click.style(query, bold=True)}")
    return [log_of(line.labels, line.nanoseconds, line.body) for line in lines]


def _ports() -> Ports:
    """The usual ports or, where something else has one of them, free ones."""
    usual = Ports()
    return Ports.free() if usual.taken() else usual


def _native(exits: ExitStack, folder: Path) -> Layout:
    """Start the stack that is built from source."""
    # Building may take the better part of an hour: ports are looked at when it is done.
    for program in (COLLECTOR, JAEGER, PROMETHEUS, LOKI):
        ensure(program)
    layout = Layout(folder / "stack", _ports())
    exits.enter_context(Stack(layout))
    return layout


def _docker(exits: ExitStack, folder: Path) -> Layout:
    """Start the containers of docker-compose.otel.yml, without Dify's, until the end.

    Raises:
        SystemExit: there is no Compose, or they did not start and it has said why.
    """
    version = [shutil.which("docker") or "false", "compose", "version"]
    if subprocess.run(version, capture_output=True, check=False).returncode:
        raise SystemExit("There is no `docker compose` here: install Docker, or use STACK=native")
    files = [option for path in _COMPOSE for option in ("-f", str(path))]
    compose = ["docker", "compose", "-p", "otel-dify-demo", *files]
    ports = _ports()
    env = {
        **os.environ,
        "DIFY_OTEL_HOME": str(ROOT),
        "GRAFANA_PASSWORD": "not started",
        "DEMO_OTLP_PORT": str(ports.otlp_http),
        "EXPOSE_JAEGER_PORT": str(ports.jaeger_query),
        "EXPOSE_PROMETHEUS_PORT": str(ports.prometheus),
        "EXPOSE_LOKI_PORT": str(ports.loki),
    }
    services = ["otel-collector", "jaeger", "prometheus", "loki"]
    exits.callback(subprocess.run, [*compose, "down", "--volumes"], env=env, check=False)
    if subprocess.run([*compose, "up", "--wait", *services], env=env, check=False).returncode:
        raise SystemExit("Docker did not start the backends (see above); STACK=native needs none")
    return Layout(folder / "stack", ports)


STACKS: dict[str, Callable[[ExitStack, Path], Layout]] = {"native": _native, "docker": _docker}
