"""``otel-dify health`` and its endpoint, beside real processes, a real Redis, and hostile callers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from examples.host.children import Children, free_port
from otel_dify.cli.health.serving import ASKING_S, MOST, MOST_BYTES
from otel_dify.cli.web import Reply, get
from tests.process.conftest import DEADLINE, Programs, eventually

PASSWORD = "geheim-4711"  # noqa: S105 - of a server of the test's own
ROOT = str(Path(__file__).parents[2])
COMMAND = (sys.executable, "-m", "otel_dify.cli", "health")
WORKING = """
    import os, sys, time
    import sqlalchemy, otel_dify
    from otel_dify import table as t
    from otel_dify.operations.current import start
    otel_dify.configure()
    engine = sqlalchemy.create_engine(f"sqlite:///{sys.argv[1]}")
    @sqlalchemy.event.listens_for(engine, "connect")
    def add(connection, _):
        connection.create_function("wait", 1, lambda s: time.sleep(s) or 1)
    for _ in range(3):
        request = start(t.REQUEST, {t.HTTP_METHOD: "GET", t.HTTP_ROUTE: "/a", t.HTTP_STATUS: 200})
        with request.active(), engine.connect() as connection:
            connection.execute(sqlalchemy.text("SELECT wait(0.12), 'geheim-4711'"))
        request.end()
    held = engine.connect()
    otel_dify.flush()
    print("ready", flush=True)
    sys.stdin.read()
"""


class Server:
    """A Redis that wants a password, and can be stopped.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        server = shutil.which("redis-server")
        assert server, "redis-server is needed: scripts/redis installs it"
        self.port = free_port()
        self._children = Children(folder, folder)
        options = ("--save", "", "--appendonly", "no", "--requirepass", PASSWORD)
        at = ("--bind", "127.0.0.1", "--port", str(self.port))
        self._children.start("redis", [server, *options, *at], self._answers)

    def _answers(self) -> bool:
        with Redis(port=self.port, password=PASSWORD) as client:
            try:
                return bool(client.ping())
            except RedisConnectionError:
                return False

    def stop(self) -> None:
        """Stop it."""
        self._children.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def database() -> Iterator[int]:
    """Listen where Dify's database is said to be; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the variables of a small Dify; nothing else of it is there."""
    gone = f"http://127.0.0.1:{free_port()}"
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ROOT,
        "HOME": str(folder),
        "COLUMNS": "160",
        "OTEL_DIFY_STATE_PATH": str(folder / "state"),
        "PLUGIN_DAEMON_URL": gone,
        "CODE_EXECUTION_ENDPOINT": gone,
        "OTEL_EXPORTER_OTLP_ENDPOINT": gone,
        # No driver is here, so that it is connected to.
        "DB_TYPE": "mysql",
        **more,
    }


def of(server: Server, database: int) -> dict[str, str]:
    return {
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(server.port),
        "REDIS_PASSWORD": PASSWORD,
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(database),
        "DB_PASSWORD": PASSWORD,
    }


def run(env: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options], env=env, capture_output=True, text=True, check=False, timeout=DEADLINE
    )


class Serving:
    """``otel-dify health --serve`` in a process of its own.

    Args:
        env: its variables.
        options: further ones.
    """

    def __init__(self, env: Mapping[str, str], *options: str) -> None:
        command = [*COMMAND, "--serve", "127.0.0.1:0", "--timeout", "1", *options]
        self.process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.fullmatch(r"Answering at http://127\.0\.0\.1:(\d+)/health\n", line)
        assert found, line
        self.port = int(found[1])

    def get(self, path: str, **headers: str) -> Reply:
        """Ask for a page."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return get(url, DEADLINE, headers=headers)

    def json(self, path: str) -> Any:
        """Ask for a page of JSON."""
        return json.loads(self.get(path).body)

    def said(self, request: bytes) -> bytes:
        """Send bytes, and return all that is answered until it closes."""
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as made:
            made.sendall(request)
            return _rest(made)

    def stop(self) -> str:
        """Stop it as Docker does; return what it has written since."""
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=DEADLINE)
        return said


def _rest(made: socket.socket) -> bytes:
    found = b""
    try:
        while part := made.recv(65_536):
            found += part
    except ConnectionError:  # closed with what it had not read
        pass
    return found


@pytest.fixture
def serve() -> Iterator[Callable[..., Serving]]:
    """Return what starts an endpoint; it is stopped afterwards, and must have logged nothing."""
    started: list[Serving] = []

    def start(env: Mapping[str, str], *options: str) -> Serving:
        made = Serving(env, *options)
        started.append(made)
        return made

    yield start
    for one in started:
        assert one.stop() == ""
        assert one.process.returncode == 0


class Working:
    """Processes that have made three requests and hold a database connection.

    Args:
        folder: for their files.
        env: their variables.
        number: how many.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], number: int) -> None:
        program = folder / "dify.py"
        lines = WORKING.strip("\n").splitlines()
        program.write_text("\n".join(line[4:] for line in lines), encoding="utf-8")
        command = [sys.executable, str(program), str(folder / "db.sqlite")]
        self.processes = [
            subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for _ in range(number)
        ]
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def end(self) -> None:
        """Kill those that are left."""
        for process in self.processes:
            process.kill()
            process.communicate(timeout=DEADLINE)


@pytest.fixture
def working(tmp_path: Path) -> Iterator[Callable[..., Working]]:
    started: list[Working] = []

    def start(env: Mapping[str, str], number: int) -> Working:
        started.append(Working(tmp_path, env, number))
        return started[-1]

    yield start
    for one in started:
        one.end()


def series(text: str, name: str) -> dict[str, float]:
    """Return the values of a metric by instance, added up."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if re.match(rf"{name}[{{ ]", line):
            [instance] = re.findall(r'[{,]instance="([^"]*)"', line)
            found[instance] = found.get(instance, 0.0) + float(line.rpartition(" ")[2])
    return found


def test_the_endpoint_says_503_when_redis_stops(
    tmp_path: Path, server: Server, database: int, serve: Callable[..., Serving]
) -> None:
    serving = serve(environment(tmp_path, **of(server, database)))
    well = serving.get("/health")
    assert (well.status, json.loads(well.body)) == (200, {"status": "healthy"})
    detailed = serving.json("/health/detailed")
    assert list(detailed["components"]) == [
        *("database", "redis", "plugin-daemon", "sandbox", "vector-store"),
        *("collector", "disk", "memory", "pool", "journal"),
    ]
    assert detailed["components"]["redis"]["status"] == "healthy"
    assert all(one["latency_ms"] >= 0 for one in detailed["components"].values())
    server.stop()
    assert eventually(lambda: serving.get("/health").status == 503)
    assert serving.json("/health") == {"status": "unhealthy"}
    assert serving.get("/health/detailed").status == 503
    told = serving.json("/health/detailed")["components"]["redis"]
    assert told["status"] == "unhealthy"
    assert PASSWORD not in str(serving.json("/health/detailed"))


def test_the_endpoint_tells_of_all_processes_and_of_a_killed_one(
    tmp_path: Path, serve: Callable[..., Serving], working: Callable[..., Working]
) -> None:
    env = environment(tmp_path)
    some = working(env, 3)
    serving = serve(env)

    def requests() -> dict[str, float]:
        text = serving.get("/metrics").body.decode()
        return series(text, "http_server_request_duration_seconds_count")

    before = requests()
    assert len(before) == 3
    assert set(before.values()) == {3.0}
    active = series(serving.get("/metrics").body.decode(), "dify_database_connections_active")
    assert list(active.values()) == [1.0] * 3
    killed = some.processes[0]
    killed.send_signal(signal.SIGKILL)
    killed.wait(DEADLINE)
    # What it had counted is there still; what it was, is not.
    assert eventually(
        lambda: (
            len(series(serving.get("/metrics").body.decode(), "dify_database_connections_active"))
            == 2
        )
    )
    assert requests() == before
    [of_requests] = [
        one for one in serving.json("/stats")["operations"] if one["kind"] == "request"
    ]
    assert (of_requests["name"], of_requests["count"], of_requests["errors"]) == ("GET /a", 9, 0)
    assert 0.1 <= of_requests["p50"] <= of_requests["p95"] <= of_requests["p99"]
    [slow] = serving.json("/slow-queries")["queries"]
    assert (slow["statement"], slow["count"]) == ("SELECT wait(?), ?", 9)
    assert slow["seconds"] >= 9 * 0.12
    assert re.fullmatch(r"[0-9a-f]{16}", slow["fingerprint"])
    pool = serving.json("/health/detailed")["components"]["pool"]
    assert pool["status"] == "healthy"
    assert "1 of 15 database connections taken; 2 processes" in pool["message"]
    # The same as a command.
    assert "GET /a" in run(env, "--stats").stdout
    told = run(env, "--slow-queries")
    assert "sqlite: SELECT wait(?), ?" in told.stdout
    assert "geheim" not in told.stdout


def test_metrics_and_gauges_are_there_where_none_are_sent(
    tmp_path: Path, serve: Callable[..., Serving], working: Callable[..., Working]
) -> None:
    env = environment(tmp_path, OTEL_METRICS_EXPORTER="none")
    working(env, 1)
    text = serve(env).get("/metrics").body.decode()
    assert list(series(text, "http_server_request_duration_seconds_count").values()) == [3.0]
    assert list(series(text, "dify_database_connections_active").values()) == [1.0]


def test_the_command_tells_a_person_and_a_program(
    tmp_path: Path, server: Server, database: int
) -> None:
    env = environment(tmp_path, **of(server, database))
    two = ("--only", "redis", "--only", "database")
    told = run(env, *two)
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0].split() == [
        "layer",
        "status",
        "latency",
        "what",
        "was",
        "seen",
    ]
    assert told.stdout.splitlines()[-1] == "healthy"
    document = json.loads(run(env, *two, "--json").stdout)
    assert document["status"] == "healthy"
    assert set(document["components"]) == {"redis", "database"}
    wrong = run({**env, "REDIS_PASSWORD": "falsch-4711"}, "--only", "redis")
    assert wrong.returncode == 1
    assert "unhealthy" in wrong.stdout
    assert "falsch" not in wrong.stdout
    # Dify does without a sandbox; who asks for it alone wants to know.
    assert run(env, "--only", "sandbox").returncode == 1
    assert run(env, *two, "--only", "nothing").returncode == 2
    assert run(env, "--serve", "everywhere").returncode == 2


def test_a_port_that_is_taken_is_said_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run(environment(tmp_path, OTEL_DIFY_HEALTH_ADDRESS=f"127.0.0.1:{port}"), "--serve")
    assert found.returncode == 1
    assert f"cannot listen at 127.0.0.1:{port}" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /health/../../etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /" + b"a" * MOST_BYTES * 4 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * MOST_BYTES + b"\r\n", b"431"),
        (b"POST /health HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"\x16\x03\x01\x02\x00\x01\x00\xff\r\n\r\n", b"400"),
        (b"GET /stats HTTP/2.0\r\n\r\n", b"400"),
        (b"GET /stats HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET /stats HTTP/1.1\r\nHost: localhost:1\r\n\r\n", b"200"),
        (b"GET /stats?x=y HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b"200"),
    ],
)
def test_requests_of_all_sorts_are_answered(
    shared: Serving, request_: bytes, status: bytes
) -> None:
    answer = shared.said(request_)
    # A request that is too large may be cut off before its answer is read.
    assert answer.startswith(b"HTTP/1.1 " + status) or (status == b"431" and answer == b"")
    if request_.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")
    assert shared.get("/stats").status == 200


def test_who_asks_slowly_is_let_go_and_others_are_served_meanwhile(shared: Serving) -> None:
    began = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", shared.port), DEADLINE) for _ in range(MOST * 4)]
    try:
        for made in slow:
            try:
                made.sendall(b"GET /stats HTT")
            except ConnectionError:  # has given way already
                continue
        assert shared.get("/stats").status == 200
        # Each is closed in the end, by giving way or when its time is over.
        for made in slow:
            _rest(made)
        assert time.monotonic() - began >= ASKING_S
    finally:
        for made in slow:
            made.close()
    assert shared.get("/stats").status == 200


def test_many_who_ask_at_once_are_all_answered(shared: Serving) -> None:
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: shared.get("/metrics").status, range(200)))
    assert set(found) == {200}


def test_who_leaves_in_the_middle_costs_nothing(shared: Serving) -> None:
    for part in (b"", b"GET /", b"GET /metrics HTTP/1.1\r\n\r\n"):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", shared.port), DEADLINE) as made:
                made.sendall(part)
    assert shared.get("/stats").status == 200


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve for several tests."""
    made = Serving(environment(tmp_path_factory.mktemp("shared")))
    yield made
    assert made.stop() == ""
    assert made.process.returncode == 0


def test_nothing_listens_where_nobody_asks_for_it(programs: Programs) -> None:
    found = programs.script(
        """
        import psutil, otel_dify
        from otel_dify import observe
        with observe("something"):
            pass
        otel_dify.flush()
        print([one.laddr for one in psutil.Process().net_connections() if one.status == "LISTEN"])
        """
    )
    assert found.stdout == "[]\n"
