"""The Collector as the receiver of a benchmark: a real one, built natively, that drops everything.

It counts what it takes and tells that by its own metrics.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.native.build import ensure
from collector.native.layout import HOST, Ports
from collector.native.programs import COLLECTOR

_START_S = 30
_CONFIGURATION = """
receivers:
  otlp: {{protocols: {{http: {{endpoint: "{host}:{otlp}"}}}}}}
exporters:
  debug: {{verbosity: basic, sampling_initial: 1, sampling_thereafter: 1000000}}
service:
  telemetry:
    metrics:
      level: normal
      readers: [{{pull: {{exporter: {{prometheus: {{host: "{host}", port: {metrics}}}}}}}}}]
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
    logs: {{receivers: [otlp], exporters: [debug]}}
"""
_ACCEPTED = re.compile(
    r"^otelcol_receiver_accepted_(spans|metric_points|log_records)(?:_total)?\{.*\} (\S+)$",
    re.MULTILINE,
)
_SIGNALS = {"spans": "traces", "metric_points": "metrics", "log_records": "logs"}


class Collecting:
    """A Collector that runs.

    Attributes:
        url: where it takes OTLP by HTTP.

    Args:
        otlp: its port for that.
        metrics: its port for its own metrics.
    """

    def __init__(self, otlp: int, metrics: int) -> None:
        self.url = f"http://{HOST}:{otlp}"
        self._metrics = f"http://{HOST}:{metrics}/metrics"

    def taken(self) -> dict[str, int]:
        """Return how many spans, metric points and log records it has taken, by signal.

        Raises:
            OSError: it does not answer.
        """
        with urllib.request.urlopen(self._metrics, timeout=_START_S) as answer:  # noqa: S310 - ours, on this machine
            found = _ACCEPTED.findall(answer.read().decode())
        taken = dict.fromkeys(_SIGNALS.values(), 0)
        for sort, number in found:
            taken[_SIGNALS[sort]] += int(float(number))
        return taken

    def listens(self) -> bool:
        """Tell whether it takes requests."""
        try:
            urllib.request.urlopen(self.url, timeout=1).close()  # noqa: S310 - the same
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


@contextmanager
def collecting(port: int = 0) -> Iterator[Collecting]:
    """Run a Collector.

    Args:
        port: where it takes OTLP by HTTP; any that is free for 0.

    Raises:
        RuntimeError: it has ended, or does not take requests in time.
    """
    ports = Ports.free()
    collector = Collecting(port or ports.otlp_http, ports.collector_metrics)
    with tempfile.TemporaryDirectory(prefix="otel_dify-bench-") as folder:
        file = Path(folder) / "collector.yaml"
        file.write_text(
            _CONFIGURATION.format(
                host=HOST, otlp=port or ports.otlp_http, metrics=ports.collector_metrics
            ),
            encoding="utf-8",
        )
        started = subprocess.Popen(
            [ensure(COLLECTOR) / "otelcol", "--config", file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + _START_S
            while not collector.listens():
                if started.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"no Collector takes requests at {collector.url}")
                time.sleep(0.05)
            yield collector
        finally:
            started.terminate()
            started.wait()
