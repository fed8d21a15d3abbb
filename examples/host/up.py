"""Starts all of the host on free ports of 127.0.0.1, and stops it again.

`python -m examples.host.up` does it for a person, `Host` for programs::

    with Host(Path("logs"), prefix=["opentelemetry-instrument"]) as host:
        result = host.run_app("support_triage", {"question": "My invoice is wrong"}, stream=True)

Redis, the model server, the web process and a Celery worker run as children, each with a log of
its own. They are told to end when the process that started them is gone, however it went.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.host.apps import APPS
from examples.host.children import START_SECONDS, Children, HostError, free_port
from examples.host.tasks import QUEUE, RETENTION_QUEUE

__all__ = ["POOLS", "ROOT", "WEB_SERVERS", "Host", "HostError"]

ROOT = Path(__file__).parent.parent.parent
WEB_SERVERS = ("flask", "gthread", "gevent")
POOLS = ("prefork", "threads", "gevent", "solo")


class Host:
    """The host, running between `with` and its end.

    Args:
        folder: where logs, the database and Redis' files go; made if missing.
        prefix: put before the commands of the web process and the worker, such as
            `["opentelemetry-instrument"]`.
        env: environment of these two, on top of this process's.
        web: one of WEB_SERVERS: Flask's own, or gunicorn with threads or gevent.
        pool: one of POOLS: Celery's pool.
        python: the interpreter of web and worker, in whose environment the host's packages are.
        database_url: an SQLAlchemy URL; by default an SQLite file in the folder.
        ttft_ms: the model server's delay before the first token, in milliseconds.

    Attributes:
        url: where the web process listens.
        model_url: where the model server listens.
        redis_url: where Redis is.
        database_url: where the rows are.

    Raises:
        HostError: on entry, when a part does not start; says which, with the end of its log.
    """

    def __init__(
        self,
        folder: Path,
        *,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        web: str = "flask",
        pool: str = "prefork",
        python: str = sys.executable,
        database_url: str | None = None,
        ttft_ms: float = 20,
    ) -> None:
        self.folder = folder.absolute()
        self.database_url = database_url or f"sqlite:///{self.folder / 'host.sqlite'}"
        self.url = self.model_url = self.redis_url = ""
        self._prefix, self._env = list(prefix), dict(env or {})
        self._web, self._pool, self._python, self._ttft = web, pool, python, ttft_ms
        self._children = Children(ROOT, self.folder)

    def __enter__(self) -> Self:
        """Start everything and wait until it serves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_redis()
            self._start_model_server()
            self._make_tables()
            self._start_web()
            self._start_worker()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything."""
        self.stop()

    def stop(self) -> None:
        """Ask every part to end, the latest first; kill what has not after 30 seconds."""
        self._children.stop()

    def pid(self, name: str) -> int:
        """Return the process id of a part: redis, model, web or worker."""
        return self._children.pid(name)

    def log(self, name: str) -> Path:
        """Return the log file of a part: redis, model, web or worker."""
        return self._children.log(name)

    def run_app(
        self,
        name: str,
        inputs: Mapping[str, Any],
        *,
        stream: bool = False,
        user: str = "example-user",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Run an app through the API, and wait for its end.

        Returns:
            `workflow_run_id`, `data` (status, outputs, error, total_tokens, ...) and `events`,
            which are those of the stream and none where it is not streamed.

        Raises:
            HostError: the API refused, or the stream ended before the run did.
        """
        body = {
            "inputs": dict(inputs),
            "user": user,
            "response_mode": "streaming" if stream else "blocking",
        }
        with httpx.stream(
            "POST",
            f"{self.url}/v1/workflows/run",
            json=body,
            headers={"Authorization": f"Bearer app-{name}", **(headers or {})},
            timeout=START_SECONDS,
        ) as answer:
            if answer.is_error:
                answer.read()
                raise HostError(f"{answer.status_code} from {answer.url}: {answer.text}")
            if not stream:
                answer.read()
                return {**answer.json(), "events": []}
            events = [
                json.loads(line.removeprefix("data: "))
                for line in answer.iter_lines()
                if line.startswith("data: ")
            ]
        if not events or events[-1]["event"] != "workflow_finished":
            raise HostError(f"the stream ended early; see {self.log('worker')}")
        last = events[-1]
        return {"workflow_run_id": last["workflow_run_id"], "data": last["data"], "events": events}

    def model_stats(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the model server's own counts: kind -> model -> counts."""
        stats: dict[str, dict[str, dict[str, int]]] = httpx.get(f"{self.model_url}/stats").json()
        return stats

    def _start_redis(self) -> None:
        server = shutil.which("redis-server")
        if server is None:
            raise HostError("redis-server is not on PATH: install it (apt install redis-server)")
        port = free_port()
        self.redis_url = f"redis://127.0.0.1:{port}/0"
        client = Redis.from_url(self.redis_url)

        def ready() -> bool:
            try:
                return bool(client.ping())
            except RedisConnectionError:
                return False

        command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        self._children.start("redis", [*command, "--dir", str(self.folder)], ready)
        client.close()

    def _start_model_server(self) -> None:
        def ready() -> bool:
            self.model_url = self.log("model").read_text().partition("\n")[0]
            return self.model_url.startswith("http")

        module = [self._python, "-m", "examples.model_server", "--ttft-ms", str(self._ttft)]
        self._children.start("model", module, ready)

    def _own_env(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return {
            "PYTHONPATH": path,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "OPENAI_API_BASE": f"{self.model_url}/v1",
            "SERVICE_URL": self.model_url,
            **self._env,
        }

    def _make_tables(self) -> None:
        made = subprocess.run(
            [self._python, "-m", "examples.host.db"],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": self.database_url},
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise HostError(f"the tables of {self.database_url} were not made:\n{made.stderr}")

    def _start_web(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            try:
                return httpx.get(f"{self.url}/health").is_success
            except httpx.TransportError:
                return False

        application = "examples.host.web:app"
        command = ["flask", "--app", application, "run", "--port", str(port)]
        stop_signal = signal.SIGINT
        if self._web != "flask":
            kind = ["-k", self._web] + (["--threads", "8"] if self._web == "gthread" else [])
            command = ["gunicorn", "-b", f"127.0.0.1:{port}", *kind, application]
            stop_signal = signal.SIGTERM
        full = [*self._prefix, self._python, "-m", *command]
        self._children.start("web", full, ready, self._own_env(), stop_signal)

    def _start_worker(self) -> None:
        def ready() -> bool:
            return " ready." in self.log("worker").read_text(encoding="utf-8", errors="replace")

        options = ["-P", self._pool, "-c", "2", "-l", "INFO", "-Q", f"{QUEUE},{RETENTION_QUEUE}"]
        command = ["celery", "-A", "examples.host.tasks", "worker", *options]
        self._children.start(
            "worker", [*self._prefix, self._python, "-m", *command], ready, self._own_env()
        )


def main() -> None:
    """Start the host, say how to call it, and run until interrupted."""
    parser = argparse.ArgumentParser(description="Run the example apps on the real engine.")
    parser.add_argument("--folder", type=Path, help="for logs and the database")
    parser.add_argument("--prefix", default="", help='such as "opentelemetry-instrument"')
    parser.add_argument("--web", choices=WEB_SERVERS, default="flask")
    parser.add_argument("--pool", choices=POOLS, default="prefork")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="examples-host-"))
    try:
        with Host(folder, prefix=shlex.split(args.prefix), web=args.web, pool=args.pool) as host:
            print(f"API           {host.url}/v1/workflows/run")
            print(f"model server  {host.model_url}/stats")
            print(f"logs          {host.folder}")
            print(f"apps          {', '.join(path.stem for path in sorted(APPS.glob('*.yaml')))}")
            print("\nTry it:")
            print(f"  curl -N {host.url}/v1/workflows/run -H 'Content-Type: application/json' \\")
            print("    -H 'Authorization: Bearer app-support_triage' \\")
            print(
                """    -d '{"inputs": {"question": "I was charged twice"}, """
                """"user": "me", "response_mode": "streaming"}'"""
            )
            print("\nCtrl-C stops it.", flush=True)
            signal.pause()
    except HostError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    main()
