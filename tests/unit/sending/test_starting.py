"""Imports, gevent and forks: claims about a whole process, each in one of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.unit.sending.receiver import Receiver

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)


def told(program: str, *arguments: str) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


MADE = """
    import sys, threading
    from otel_dify.export.sending.destination import destination
    from otel_dify.settings import Settings
    late = ("urllib3", "requests", "ssl", "grpc", "asyncio", "concurrent.futures.thread")
    for environ in ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}):
        for signal in ("traces", "metrics", "logs"):
            destination(Settings(environ), signal).transport()
    print([name for name in late if name in sys.modules], threading.active_count())
"""


def test_before_the_first_request_nothing_is_loaded_that_gevent_patches_and_no_thread_runs() -> (
    None
):
    assert told(MADE) == "[] 1\n"


GEVENT = """
    import sys
    from otel_dify.export.sending.destination import destination
    from otel_dify.settings import Settings
    assert "ssl" not in sys.modules
    from gevent import monkey
    monkey.patch_all()
    import gevent, socket

    listener = socket.create_server(("127.0.0.1", 0))
    turns = []

    def serve():
        talking, _ = listener.accept()
        with talking.makefile("rb") as file:
            for _ in range(2):
                while line := file.readline().strip():
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.partition(b":")[2])
                file.read(size)
                seen = len(turns)
                while len(turns) < seen + 10:
                    gevent.sleep(0.001)
                talking.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")

    def turn():
        while True:
            turns.append(None)
            gevent.sleep(0.001)

    gevent.spawn(serve)
    gevent.spawn(turn)
    url = f"http://localhost:{listener.getsockname()[1]}"
    made = destination(Settings({"OTEL_EXPORTER_OTLP_ENDPOINT": url}), "traces").transport()
    print([made.send(b"body", 20.0) for _ in range(2)], len(turns) >= 20)
    silent = socket.create_server(("127.0.0.1", 0))
    url = f"http://localhost:{silent.getsockname()[1]}"
    made = destination(Settings({"OTEL_EXPORTER_OTLP_ENDPOINT": url}), "traces").transport()
    before = len(turns)
    print(type(made.send(b"body", 0.2)).__name__, len(turns) > before)
"""


def test_under_gevent_others_run_while_a_request_waits() -> None:
    """The receiver answers when another greenlet has had its turns, in the same thread."""
    delivered = "Delivered(rejected=0, message='')"
    assert told(GEVENT) == f"[{delivered}, {delivered}] True\nRetry True\n"


WITHOUT = """
    import sys
    from otel_dify.export.sending.destination import destination
    from otel_dify.settings import Settings
    sys.modules["grpc"] = None
    environ = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    print(destination(Settings(environ), "traces").transport().send(b"", 20.0))
"""


def test_where_grpc_is_not_installed_that_is_said() -> None:
    assert told(WITHOUT).startswith(
        "Denied(reason='OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs the package grpcio ("
    )


FORKED = """
    import os, sys
    from otel_dify.export.sending.destination import destination
    from otel_dify.settings import Settings
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[1]}
    made = destination(Settings(environ), "traces").transport()
    made.send(b"", 20.0)
    child = os.fork()
    made.send(b"", 20.0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    made.send(b"", 20.0)
"""


def test_a_forked_child_leaves_its_parents_connection_alone() -> None:
    with Receiver() as receiver:
        told(FORKED, receiver.url)
    connections = sorted(request.connection for request in receiver.requests)
    assert connections == [0, 0, 0, 1]


ENDING = """
    import atexit, sys
    from otel_dify.export.sending.destination import destination
    from otel_dify.settings import Settings
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[1]}
    made = destination(Settings(environ), "traces").transport()
    atexit.register(lambda: print(made.send(b"", 20.0)))
"""


def test_a_name_is_looked_up_even_where_no_thread_can_start_any_more() -> None:
    with Receiver() as receiver:
        assert told(ENDING, receiver.url) == "Delivered(rejected=0, message='')\n"
