"""Dify's docker folder with the stand-in's compose file in it, and what a person does there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from collector.native.errors import NativeError
from collector.native.layout import Ports
from collector.native.query import Jaeger, Loki, Prometheus, wait_until
from examples.host.up import Host
from otel_dify import table as t
from tests.containers.engine import ROOT, Engine

HERE = Path(__file__).parent
OVERLAY = ROOT / "docker-compose.otel.yml"
STAND_IN = ROOT / "tests" / "compose" / "dify.yaml"
FILES = f"docker-compose.yaml:{OVERLAY}:{HERE / 'override.yaml'}"
# With a digest, an image could only be pulled.
SETUP_IMAGE = "python:3.12.14-slim-bookworm"
PATIENCE_S = 240.0
"""Seconds that anything is waited for, on a machine that is busy as well."""
STORED = ("jaeger", "prometheus", "loki")
_OF_RUN = t.RUN.span_name.partition("{")[0]

# Dify's own settings, in its .env before anything of ours is.
_DIFY_ENV = {
    "COMPOSE_PROFILES": "collaboration",
    "MIGRATION_ENABLED": "true",
    # Dify looks every half minute.
    "HEALTH_INTERVAL": "2s",
    "SERVER_WORKER_CLASS": "gevent",
    # Dify's default comes with geventwebsocket, which the example host has no use for.
    "API_WEBSOCKET_WORKER_CLASS": "gevent",
    "REDIS_URL": "redis://:difyai123456@redis:6379/0",
    "DATABASE_URL": "sqlite:////app/api/storage/dify.sqlite",
    "OPENAI_API_BASE": "http://plugin_daemon:5002/v1",
    "SERVICE_URL": "http://plugin_daemon:5002",
}


@dataclass(frozen=True)
class Deployment:
    """One deployment: its folder, its engine, and the ports that are published on 127.0.0.1."""

    folder: Path
    engine: Engine
    ports: Mapping[str, int]
    project: str
    _volumes: set[str] = field(default_factory=set)

    @property
    def environ(self) -> dict[str, str]:
        """What commands are run with."""
        return {
            **self.engine.environ,
            # Dify's would be `docker`: the project that a person's own Dify has.
            "COMPOSE_PROJECT_NAME": self.project,
        }

    def shell(self, script: str, **environ: str) -> str:
        """Run commands as a person does, in Dify's docker folder; returns what they printed."""
        done = self._run(script, environ)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done.stdout

    def _run(self, script: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` there."""
        return self.shell(" ".join(["docker compose", *arguments]))

    def down(self, *options: str, **environ: str) -> None:
        """Run `docker compose down`; what is left may be a network that is the engine's fault.

        Such a network is empty and cannot be removed (`Engine.miscounted`). `up` takes it again.
        """
        done = self._run(f"docker compose --profile '*' down {' '.join(options)}", environ)
        if done.returncode:
            assert self.engine.only_miscounted(self.project, done.stderr), done.stderr

    @property
    def _ours(self) -> tuple[str, ...]:
        return ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")

    def remove(self) -> None:
        """Remove all that was started here, volumes without a name included, and see that it is.

        Networks that an engine of our own does not let go of end with it.
        """
        self.down("--volumes", "--remove-orphans", COMPOSE_FILE=FILES)
        docker = self.engine.docker
        docker("volume", "rm", "--force", *self._volumes, check=False)
        assert docker("container", "ls", "--all", *self._ours) == ""
        left = docker("network", "ls", *self._ours).split()
        assert all(self.engine.own and self.engine.miscounted(one) for one in left), (
            f"networks {left} stay until dockerd is restarted"
        )
        assert not self._volumes & {*docker("volume", "ls", "--quiet").split()}

    def logs(self, *services: str) -> str:
        """The last lines of containers, by default of all, for a test that fails."""
        shown = subprocess.run(
            ["docker", "compose", "logs", "--no-color", "--tail", "30", *services],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        return shown.stdout[-15000:]

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of the containers, by service."""
        found = {}
        for name in self.compose("ps", "--all", "--format", "'{{.Name}}'").split():
            container = self.engine.inspect(name)
            found[container["Config"]["Labels"]["com.docker.compose.service"]] = container
            mounts = container["Mounts"]
            self._volumes.update(m["Name"] for m in mounts if m["Type"] == "volume")
        return found

    def ill(self) -> dict[str, str]:
        """The services that are not what they should be, and what they are."""
        states = {}
        for name, container in self.containers().items():
            state = container["State"]
            if container["HostConfig"]["RestartPolicy"]["Name"] == "no" and name != "receiver":
                well = state["Status"] == "exited" and state["ExitCode"] == 0
            else:
                well = state["Running"] and state.get("Health", {}).get("Status", "healthy") == (
                    "healthy"
                )
            if not well:
                states[name] = f"{state['Status']} {state.get('Health', {}).get('Status', '')}"
        return states

    def healthy(self, seconds: float = PATIENCE_S) -> None:
        """Wait until every container runs, and is healthy where it has a health check."""
        try:
            wait_until(self.ill, lambda ill: not ill, timeout=seconds, what="healthy containers")
        except NativeError as error:
            error.add_note(self.logs(*self.ill()))
            raise

    def url(self, name: str) -> str:
        """Where a port is published."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def run(self, app: str, inputs: Mapping[str, str], *, stream: bool = True) -> str:
        """Run an app through Dify's API; returns the run's id. It must succeed."""

        def up() -> bool:
            try:
                return httpx.get(f"{self.url('api')}/health").is_success
            except httpx.TransportError:
                return False

        wait_until(up, timeout=PATIENCE_S, what="answer of the API")
        client = Host(self.folder)
        client.url = self.url("api")
        answer = client.run_app(app, inputs, stream=stream)
        assert answer["data"]["status"] == "succeeded", answer
        run_id: str = answer["workflow_run_id"]
        return run_id

    def trace_of(self, run_id: str) -> list[dict[str, Any]]:
        """The spans of the one trace that Jaeger has of a run; waits for both halves of it."""
        jaeger = Jaeger(self.url("jaeger"))

        def ask() -> list[dict[str, Any]]:
            tags = {"dify.workflow.run_id": run_id}
            found = {i for s in ("dify-api", "dify-worker") for i in jaeger.search(s, tags)}
            assert len(found) <= 1
            return [span for trace_id in found for span in jaeger.trace(trace_id)]

        def whole(spans: list[dict[str, Any]]) -> bool:
            ids = {span["spanId"] for span in spans}
            above = {span.get("parentSpanId", "") for span in spans}
            # The API's half is whole in itself, and comes first.
            ran = any(span["name"].startswith(_OF_RUN) for span in spans)
            return ran and above - ids == {""}

        return wait_until(
            ask, whole, timeout=PATIENCE_S, what=f"whole trace of run {run_id} in Jaeger"
        )

    def counted(self, expected: int) -> None:
        """Wait until Prometheus has exactly as many workflow runs as were made."""
        prometheus = Prometheus(self.url("prometheus"))
        query = 'sum(max_over_time(dify_requests_total{type="workflow"}[1h]))'
        wait_until(
            lambda: sum(series.value for series in prometheus.query(query)),
            lambda value: value == expected,
            timeout=PATIENCE_S,
            what=f"{expected} runs in Prometheus",
        )

    def logged(self, trace_id: str) -> None:
        """Wait until Loki has the line that says how a trace's run ended."""
        loki = Loki(self.url("loki"))
        query = f'{{service_name=~"dify-.+"}} | trace_id="{trace_id}"'
        wait_until(
            lambda: [line.body for line in loki.query_range(query)],
            lambda lines: any(re.match(r"run \S+ succeeded in", line) for line in lines),
            timeout=PATIENCE_S,
            what=f"line of the end of the run of trace {trace_id}",
        )

    def told(self) -> list[dict[str, Any]]:
        """What Alertmanager has posted to the receiver."""
        posted: list[dict[str, Any]] = httpx.get(self.url("receiver")).json()
        return posted

    def set(self, **variables: str) -> None:
        """Append to .env, where the last one counts."""
        with (self.folder / ".env").open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in variables.items())


def deployment(engine: Engine, folder: Path) -> Deployment:
    """Make Dify's docker folder. Whoever starts something in it is to `remove` it."""
    docker = folder / "docker"
    docker.mkdir(parents=True)
    shutil.copyfile(STAND_IN, docker / "docker-compose.yaml")
    free = Ports.free()
    ports = {
        "jaeger": 16686,
        "prometheus": 9090,
        "loki": 3100,
        "alertmanager": 9093,
        "api": free.otlp_http,
        "receiver": free.otlp_grpc,
    }
    if not engine.own:
        ports |= {
            name: getattr(free, name, free.jaeger_query) for name in (*STORED, "alertmanager")
        }
    made = Deployment(docker, engine, ports, f"otel-dify-test-{os.getpid()}")
    made.set(**_DIFY_ENV, API_PORT=str(ports["api"]))
    return made


def for_the_tests(made: Deployment) -> None:
    """Add to .env what the tests need beside what a person does (override.yaml says what)."""
    exposed = {f"EXPOSE_{name.upper()}_PORT": str(made.ports[name]) for name in STORED}
    made.set(
        **exposed,
        EXPOSE_ALERTMANAGER_PORT=str(made.ports["alertmanager"]),
        RECEIVER_PORT=str(made.ports["receiver"]),
        RECEIVER=str(HERE / "receiver.py"),
        OTEL_SETUP_IMAGE=SETUP_IMAGE,
        ALERT_WEBHOOK_URL="http://receiver:8000/",
        COMPOSE_FILE=FILES,
    )


def needed(made: Deployment) -> list[str]:
    """The images that the merged files name."""
    shown = made.compose("config", "--format", "json")
    services = json.loads(shown)["services"]
    return sorted({service["image"] for service in services.values()})
