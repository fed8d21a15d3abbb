"""One Collector of a tier, as a process: what is sent to it, and what comes out of it."""

from __future__ import annotations

import os
import re
import signal as signals_
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from collector.native.build import ensure
from collector.native.layout import Layout, Ports
from collector.native.processes import ProcessId, start, stop
from collector.native.programs import COLLECTOR
from collector.native.query import wait_until
from tests.stack.otlp_json import Telemetry

ARCHIVE = """
exporters:
  file/archive: {path: "${env:ARCHIVE}", append: true, flush_interval: 100ms}
service:
  pipelines:
    traces: {exporters: [file/archive]}
    metrics: {exporters: [file/archive]}
    logs: {exporters: [file/archive]}
"""
"""Laid over a gateway, it writes down what would go to the backends."""
_ROOTS = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}


class Tier:
    """One Collector on ports and in a folder of its own."""

    def __init__(
        self, folder: Path, configs: tuple[Path, ...], environment: Mapping[str, str]
    ) -> None:
        folder.mkdir()
        self.layout = Layout(folder, Ports.free())
        self.archive = folder / "archive.json"
        self._configs = configs
        self._environment = {
            **os.environ,
            **self.layout.environment(),
            "ARCHIVE": str(self.archive),
            **environment,
        }
        self._running: tuple[ProcessId, subprocess.Popen[bytes]] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes data."""
        command = [
            str(ensure(COLLECTOR) / "otelcol"),
            *(f"--config={one}" for one in self._configs),
        ]
        folder = self.layout.data
        self._running = start(command, self._environment, folder, folder / "log")
        wait_until(self._healthy, bool, what=f"Collector in {folder}")

    def _healthy(self) -> bool:
        assert self._running is not None
        assert self._running[1].poll() is None, (self.layout.data / "log").read_text()[-3000:]
        try:
            return httpx.get(self.layout.collector_health).is_success
        except httpx.TransportError:
            return False

    def suspend(self) -> None:
        """Let it hang: its connections stay, and nothing is answered."""
        assert self._running is not None
        self._running[1].send_signal(signals_.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._running is not None
        self._running[1].send_signal(signals_.SIGCONT)

    def stop(self, grace: float = 20.0) -> None:
        """End it; with no grace by SIGKILL."""
        if self._running is not None:
            stop(*self._running, grace)
            self._running = None

    def send(self, trace_id: str, token: str, *signals: str) -> str:
        """Send a failed span of a trace, or what else belongs to it; return the span's id."""
        telemetry = Telemetry("api", trace_id=trace_id)
        for signal in signals or ("traces",):
            body = getattr(telemetry, signal)()
            if signal == "traces":
                body["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"] = {"code": 2}
            answer = httpx.post(
                f"{self.layout.otlp_http}/v1/{signal}",
                json=body,
                headers={"authorization": f"Bearer {token}"} if token else {},
            )
            answer.raise_for_status()
        return telemetry.span_id

    def arrived(self, signal: str = "traces") -> set[str]:
        """The spans that have come out of it, or that what has come out belongs to."""
        text = self.archive.read_text() if self.archive.exists() else ""
        # The last line may be half written.
        return {
            span
            for line in text.splitlines(keepends=True)
            if line.endswith("\n") and line.startswith(f'{{"{_ROOTS[signal]}":')
            for span in re.findall(r'"spanId":"(\w+)"', line)
        }


@contextmanager
def running(folder: Path, *configs: Path, **environ: str) -> Iterator[Layout]:
    """Have a Collector with these files in a folder of its own, until the end of the block."""
    tier = Tier(folder, configs, environ)
    try:
        tier.start()
        yield tier.layout
    finally:
        tier.stop()
