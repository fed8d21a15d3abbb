"""The real stack as an operator has it: all drop-ins and rules, Dify's pages, and traffic."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from collector.native.layout import Layout, Ports
from collector.native.programs import COLLECTOR_FOLDER
from collector.native.query import Loki, Prometheus, wait_until
from collector.native.stack import Stack

ROOT = COLLECTOR_FOLDER.parent
DROP_INS = tuple(
    COLLECTOR_FOLDER / "drop-ins" / f"{name}.yaml"
    for name in ("reference-names", "host-metrics", "health-checks", "log-files")
)


class Pages:
    """The pages that are asked from outside: Dify's health, and the kubelet's metrics.

    Attributes:
        broken: paths that answer 500.
    """

    def __init__(self) -> None:
        self.broken: set[str] = set()
        recorded = (Path(__file__).parent / "kubelet.prom").read_bytes()
        broken = self.broken

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kubelet = self.path == "/metrics"
                self.send_response(500 if self.path in broken else 200)
                kind = "text/plain; version=0.0.4" if kubelet else "application/json"
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(recorded if kubelet else b'{"status": "ok"}')

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"

    @contextmanager
    def served(self) -> Iterator[Pages]:
        """Serve for a block."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class Worker:
    """A process that makes traffic (`traffic.py`), one round at a time."""

    def __init__(self, endpoint: str, folder: Path, service: str, **settings: str) -> None:
        env = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_SERVICE_NAME": service,
            "OTEL_DIFY_STATE_PATH": str(folder / "state"),
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
            # Reference queries ask for starts.
            "OTEL_DIFY_START_EVENTS": "true",
            **settings,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.stack.traffic"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def round(self) -> None:
        """Perform one round, and send it."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("round\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n", "the traffic ended; see above"

    def end(self, *, kill: bool = False) -> None:
        """End it: as Dify's processes end, or with SIGKILL."""
        if kill:
            self._process.kill()
        self._process.communicate(timeout=60)


@dataclass
class Observed:
    """A stack with traffic in it."""

    layout: Layout
    pages: Pages
    stack: Stack
    folder: Path
    rounds: int = 0
    workers: list[Worker] = field(default_factory=list)
    prometheus: Prometheus = field(init=False)
    loki: Loki = field(init=False)

    def __post_init__(self) -> None:
        self.prometheus = Prometheus(self.layout.prometheus)
        self.loki = Loki(self.layout.loki)

    def worker(self, service: str, **settings: str) -> Worker:
        """Start a process that makes traffic."""
        return Worker(self.layout.otlp_http, self.folder, service, **settings)

    def round(self) -> None:
        """Let a process perform one more round."""
        self.workers[0].round()
        self.rounds += 1

    def until(self, promql: str, satisfied: Callable[[float], bool], timeout: float = 60) -> float:
        """Ask until the only series of an expression satisfies; return its value."""

        def ask() -> float | None:
            series = self.prometheus.query(promql)
            return series[0].value if len(series) == 1 else None

        found = wait_until(
            ask,
            lambda value: value is not None and satisfied(value),
            timeout=timeout,
            what=f"value of {promql}",
        )
        assert found is not None
        return found


@contextmanager
def observe(folder: Path) -> Iterator[Observed]:
    """Start the stack with all drop-ins, and let two processes make traffic.

    The first restarts in between: what it counted before is not counted again.
    """
    with ExitStack() as exits:
        pages = exits.enter_context(Pages().served())
        environment = exits.enter_context(pytest.MonkeyPatch.context())
        environment.setenv("DIFY_API_URL", f"http://{pages.address}")
        environment.setenv("OTELCOL_CHECK_INTERVAL", "1s")
        environment.setenv("OTELCOL_HOST_INTERVAL", "1s")
        environment.setenv("OTELCOL_LOG_DIR", str(folder / "logs"))
        layout = Layout(folder / "stack", Ports.free(), DROP_INS, alertmanager=True)
        stack = exits.enter_context(Stack(layout))
        kubelet = [
            {
                "targets": [pages.address],
                "labels": {
                    "job": "kubelet",
                    "__scrape_interval__": "1s",
                    "__scrape_timeout__": "1s",
                },
            }
        ]
        targets = layout.data / "prometheus" / "etc" / "targets" / "kubelet.yaml"
        targets.write_text(yaml.safe_dump(kubelet))
        observed = Observed(layout, pages, stack, folder)
        api, worker = (observed.worker(f"dify-{role}") for role in ("api", "worker"))
        for _ in range(2):
            for process in (api, worker):
                process.round()
                observed.rounds += 1
        api.end(kill=True)
        again = observed.worker("dify-api")
        again.round()
        observed.rounds += 1
        observed.workers += [again, worker]
        yield observed
        for process in observed.workers:
            process.end()


@pytest.fixture(scope="session")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """A stack with traffic, shared by all tests."""
    with observe(tmp_path_factory.mktemp("observed")) as running:
        yield running
