"""Programs run as an operator runs them: under ``opentelemetry-instrument``, as processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import opentelemetry.instrumentation.auto_instrumentation as injected
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.host.children import Children, free_port
from otel_dify.cli.otlp_json import read
from otel_dify.cli.records import Log, Span, Telemetry

APPS = Path(__file__).with_name("apps")
BIN = Path(sys.executable).parent
INSTRUMENT = str(BIN / "opentelemetry-instrument")
# The directory that the OpenTelemetry Operator puts on PYTHONPATH.
INJECTED = str(Path(injected.__file__).parent)
DEADLINE = 30.0
"""Seconds after which a process that should have ended, or served, is taken to hang."""


def eventually(condition: Callable[[], bool], seconds: float = DEADLINE) -> bool:
    """Return whether a condition comes true before the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Programs:
    """Programs that write their telemetry into files of one folder.

    Args:
        folder: for files of all sorts.
        env: environment of every program.
    """

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.telemetry_folder = folder / "telemetry"
        self.env = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": str(folder),
            "OTEL_TRACES_EXPORTER": "otlp_file",
            "OTEL_METRICS_EXPORTER": "otlp_file",
            "OTEL_LOGS_EXPORTER": "otlp_file",
            "OTEL_DIFY_FILE_PATH": str(self.telemetry_folder),
            "OTEL_DIFY_STATE_PATH": str(folder / "state"),
            **env,
        }
        self._children = Children(APPS, folder)

    def environment(self, env: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return the environment of a program; ``None`` takes a variable away."""
        merged: dict[str, str | None] = {**self.env, **(env or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def run(
        self,
        *command: str,
        env: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (INSTRUMENT,),
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end.

        Raises:
            subprocess.TimeoutExpired: it hangs.
        """
        return subprocess.run(
            [*prefix, *command],
            cwd=APPS,
            env=self.environment(env),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )

    def script(
        self,
        source: str,
        *,
        env: Mapping[str, str | None] | None = None,
        prefix: Sequence[str] = (INSTRUMENT,),
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python program to its end."""
        path = self.folder / "program.py"
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return self.run(sys.executable, str(path), env=env, prefix=prefix)

    def start(
        self,
        name: str,
        *command: str,
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        stop: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start a program under ``opentelemetry-instrument`` and wait until it is ready."""
        whole = {**self.env, **(env or {})}
        self._children.start(name, [INSTRUMENT, *command], ready, whole, stop)

    def stop(self) -> None:
        """Ask every program to end, and wait until it has."""
        self._children.stop()

    def log(self, name: str) -> str:
        """Return what a program has written to its terminal."""
        return self._children.log(name).read_text(encoding="utf-8", errors="replace")

    @property
    def told(self) -> Telemetry:
        """All telemetry written so far."""
        return read(self.telemetry_folder) if self.telemetry_folder.exists() else Telemetry()

    def spans(self, name: str) -> list[Span]:
        """Return the spans of a name."""
        return [span for span in self.told.spans if span.name == name]

    def logs(self, source: str) -> list[Log]:
        """Return the log records of a logger."""
        return [log for log in self.told.logs if log.source == source]

    def counted(self, metric: str, **labels: str) -> int:
        """Add up over all processes how many measurements a histogram has (last export of each)."""
        last: dict[object, int] = {}
        for point in self.told.points:
            known = dict(point.attributes)
            if point.name == metric and labels.items() <= known.items():
                last[point.process, point.attributes] = point.count
        return sum(last.values())


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    """Yield what runs programs; those still running are stopped."""
    made = Programs(tmp_path, {})
    yield made
    made.stop()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a Redis server, and yield its address."""
    server = shutil.which("redis-server")
    assert server, "redis-server is needed: scripts/redis installs it"
    folder = tmp_path_factory.mktemp("redis")
    children, port = Children(folder, folder), free_port()
    client = Redis(port=port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except RedisConnectionError:
            return False

    options = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", str(port))
    children.start("redis", [server, *options], answers)
    yield f"redis://127.0.0.1:{port}/0"
    client.close()
    children.stop()


@pytest.fixture
def fresh_broker(broker: str) -> str:
    """Return the address of a Redis server that holds nothing."""
    client = Redis.from_url(broker)
    client.flushall()
    client.close()
    return broker
