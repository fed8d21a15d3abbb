"""``otel-dify drain``: what processes have left, sent by one that has nothing of its own."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from examples.host.children import free_port
from tests.process.conftest import APPS, BIN, Programs
from tests.process.sink import REQUESTS, Sink

OURS = {
    "OTEL_TRACES_EXPORTER": None,
    "OTEL_METRICS_EXPORTER": None,
    "OTEL_LOGS_EXPORTER": None,
    "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
}
KILLED = """
    import logging, os, signal
    from otel_dify import observe, table as t
    from otel_dify.operations.current import start
    for number in range(3):
        with observe("done"):
            logging.getLogger("program").warning("working")
    run = start(t.RUN, {t.APP_NAME: "app", t.RUN_ID: "1"})
    with run.active():
        start(t.NODE, {t.NODE_ID: "node", t.NODE_TYPE: "llm", t.NODE_TITLE: "Answer"})
        os.kill(os.getpid(), signal.SIGKILL)
"""
OF_THE_SDK = """
    import os, signal
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from otel_dify.export.otlp import OtelDifySpanExporter
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OtelDifySpanExporter()))
    with provider.get_tracer("program").start_as_current_span("of the SDK"):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
"""


def nowhere() -> str:
    """Return an address where nobody listens."""
    return f"http://127.0.0.1:{free_port()}"


def kill_some(programs: Programs, *sources: str) -> None:
    """Run programs that are killed, with a Collector that is not there."""
    for source in sources:
        env = {**OURS, "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere()}
        told = programs.script(source, env=env)
        assert told.returncode == -9, told.stderr


def drain(
    programs: Programs, url: str, *options: str, env: dict[str, str | None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as an operator does."""
    return programs.run(
        str(BIN / "otel-dify"),
        "drain",
        *options,
        env={**OURS, "OTEL_EXPORTER_OTLP_ENDPOINT": url, **(env or {})},
        prefix=(),
    )


def journal(programs: Programs) -> Path:
    """Return where the journals are."""
    return programs.folder / "state" / "journal"


def test_what_killed_processes_have_left_and_had_begun_is_sent_once(programs: Programs) -> None:
    """Spans, log records and metrics, of Dify's processes and of the SDK's exporter."""
    kill_some(programs, KILLED, OF_THE_SDK)
    with Sink("http/protobuf") as received:
        told = drain(programs, received.url)
        assert told.returncode == 0, told.stdout + told.stderr
        again = drain(programs, received.url)
    *signals, ended = told.stdout.splitlines()
    assert signals == [
        f"Drained {journal(programs)}",
        "traces: 6 sent, 0 refused, 0 left",
        "metrics: last values of processes 2 sent, 0 refused, 0 left",
        "logs: 5 sent, 0 refused, 0 left",
    ]
    assert ended.startswith("2 operations that killed processes had begun ended as errors")
    assert again.returncode == 0
    assert "traces: 0 sent, 0 refused, 0 left" in again.stdout
    assert received.names["traces"] == {
        "done": 3,
        "of the SDK": 1,
        "invoke_workflow app": 1,
        "llm Answer": 1,
    }
    assert received.names["logs"]["working"] == 3
    # Those of the killed process, and those of what was ended in its place.
    assert received.names["metrics"]["dify.custom.duration"] == 1
    assert received.names["metrics"]["dify.workflow.duration"] == 1
    assert not list(journal(programs).glob("*/*"))


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_it_sends_by_the_standard_variables_whatever_dify_exports_to(
    programs: Programs, protocol: str
) -> None:
    kill_some(programs, KILLED)
    elsewhere = programs.folder / "elsewhere"
    journal(programs).rename(elsewhere)
    with Sink(protocol) as received:
        told = drain(
            programs,
            received.url,
            "--journal",
            str(elsewhere),
            env={
                "OTEL_SDK_DISABLED": "true",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "console",
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            },
        )
        assert told.returncode == 0, told.stdout + told.stderr
    assert received.names["traces"]["done"] == 3
    assert received.names["logs"]["working"] == 3
    assert received.names["metrics"]["dify.custom.duration"] == 1


def test_what_nobody_takes_is_left_and_sent_the_next_time(programs: Programs) -> None:
    kill_some(programs, KILLED, OF_THE_SDK)
    address = nowhere()
    told = drain(programs, address, "--timeout", "0.1")
    assert told.returncode == 1
    assert "traces: 0 sent, 0 refused, 6 left" in told.stdout
    assert "logs: 0 sent, 0 refused, 5 left" in told.stdout
    assert "metrics: last values of processes 0 sent, 0 refused, 2 left" in told.stdout
    assert "run this again" in told.stdout
    for signal in ("traces", "logs", "metrics"):
        assert re.search(rf"^{signal} cannot be delivered: .*{address}", told.stderr, re.MULTILINE)
    with Sink("http/protobuf") as received:
        told = drain(programs, received.url)
        assert told.returncode == 0, told.stdout + told.stderr
    assert received.names["traces"] == {
        "done": 3,
        "of the SDK": 1,
        "invoke_workflow app": 1,
        "llm Answer": 1,
    }
    assert received.names["metrics"]["dify.workflow.duration"] == 1


@contextmanager
def choosy(refused: str, times_busy: int = 0) -> Iterator[str]:
    """Receive by HTTP, with an answer of 400 to requests that hold a span or a line of a name.

    Args:
        refused: the name.
        times_busy: answers of 503 before that.
    """
    busy = [times_busy]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take a request or not."""
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            holds = refused in str(REQUESTS[self.path.rpartition("/")[2]].FromString(body))
            busy[0] -= 1
            self.send_response(503 if busy[0] >= 0 else 400 if holds else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = Thread(target=server.serve_forever)
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


def test_what_is_refused_is_told_and_keeps_nothing_from_being_sent(programs: Programs) -> None:
    """Nor does a backend that is busy at first."""
    kill_some(programs, KILLED)
    with choosy('"llm Answer"', times_busy=1) as url:
        told = drain(programs, url)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "traces: 4 sent, 1 refused, 0 left" in told.stdout
    assert "refuses some of the traces" in told.stderr
    assert not list(journal(programs).glob("*/*"))


LIVES = """
    import sys
    from otel_dify import observe
    with observe("lives"):
        pass
    print("recorded", flush=True)
    sys.stdin.read()
"""


def test_the_journal_of_a_process_that_lives_is_left_to_it(programs: Programs) -> None:
    kill_some(programs, KILLED)
    program = programs.folder / "lives.py"
    program.write_text("\n".join(line[4:] for line in LIVES.splitlines()), encoding="utf-8")
    living = subprocess.Popen(
        [str(BIN / "opentelemetry-instrument"), sys.executable, str(program)],
        cwd=APPS,
        env=programs.environment(
            {
                **OURS,
                "OTEL_EXPORTER_OTLP_ENDPOINT": nowhere(),
                # It would take over from dead ones, too.
                "OTEL_BSP_SCHEDULE_DELAY": "600000",
                "OTEL_BLRP_SCHEDULE_DELAY": "600000",
            }
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert living.stdout is not None
        assert living.stdout.readline() == "recorded\n"
        with Sink("http/protobuf") as received:
            told = drain(programs, received.url)
    finally:
        living.communicate()
    assert told.returncode == 1
    assert "traces: 5 sent, 0 refused, 1 left" in told.stdout
    assert "1 of the journals belong to processes that run" in told.stdout
    assert "lives" not in received.names["traces"]


@pytest.mark.parametrize(
    ("options", "env", "says"),
    [
        (["--journal", "/nowhere"], {}, "'/nowhere' does not exist"),
        (["--timeout", "soon"], {}, "'soon' is not a valid float"),
        (["--timeout", "-1"], {}, "-1.0 is not in the range"),
        ([], {"OTEL_DIFY_JOURNAL_DIR": "none"}, "OTEL_DIFY_JOURNAL_DIR=none: there are no"),
        (["more"], {}, "unexpected extra argument"),
    ],
)
def test_wrong_use_is_told_apart_from_what_is_left(
    programs: Programs, options: list[str], env: dict[str, str | None], says: str
) -> None:
    told = drain(programs, nowhere(), *options, env=env)
    assert told.returncode == 2
    assert says in told.stderr


def test_where_nothing_is_nothing_is_made(programs: Programs) -> None:
    told = drain(programs, nowhere())
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.count("0 sent, 0 refused, 0 left") == 3
    assert not (programs.folder / "state").exists()


TURNS = """
    from gevent import monkey
    monkey.patch_all()
    import gevent
    from otel_dify import observe
    from otel_dify.export import adoption
    from otel_dify.process import process
    turns, seen = 0, []

    def take_turns():
        global turns
        while True:
            turns += 1
            gevent.sleep(0)

    class Noting(adoption.Piece):
        def __init__(self, path):
            seen.append(turns)
            super().__init__(path)

    adoption.Piece = Noting
    gevent.spawn(take_turns)
    with observe("own"):
        pass
    process.end()
    print(len(seen), len(set(seen)))
"""


def test_greenlets_have_their_turns_while_a_backlog_is_taken_over(programs: Programs) -> None:
    leave_backlog(programs, 6_000)
    with Sink("http/protobuf") as received:
        env = {**OURS, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        told = programs.script(TURNS, env=env)
        assert told.returncode == 0, told.stderr
    taken, turns = map(int, told.stdout.split())
    assert taken == turns > 2
    assert received.names["traces"] == {"waits": 6_000, "own": 1}


BACKLOG = """
    import os, sys
    from pathlib import Path
    from otel_dify.export.encoding.request import encode_resource, encode_scope
    from otel_dify.export.journal.journal import Journal
    from otel_dify.export.journal.place import Home
    from otel_dify.recording import SCOPE
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import NonRecordingSpan
    from otel_dify.export.encoding.spans import SpanEncoder
    from opentelemetry.trace import SpanContext, SpanKind, StatusCode
    root, number = Path(os.environ["OTEL_DIFY_STATE_PATH"]) / "journal" / "dify", int(sys.argv[1])
    journal = Journal("traces", Home(root, "dead", encode_resource(Resource({}))), 1 << 40, 1024)
    scope, encode = journal.scope(encode_scope(SCOPE)), SpanEncoder().encode
    attributes = {f"name {n}": f"value {n}" * 4 for n in range(12)}
    for one in range(1, number + 1):
        context = SpanContext(one, one, False)
        journal.append(scope, encode(
            "waits", context, None, SpanKind.INTERNAL, 1, 2, attributes, (), (), StatusCode.UNSET,
            None))
    os._exit(0)
"""
MEASURED = """
    import atexit, sys
    from otel_dify.cli.main import main

    def tell():
        with open("/proc/self/status") as status:
            peak = next(line for line in status if line.startswith("VmHWM"))
        print(peak.split()[1], flush=True)

    atexit.register(tell)
    main(["drain"])
"""


def leave_backlog(programs: Programs, number: int) -> None:
    """Leave so many spans in the journal of a process that is dead."""
    program = programs.folder / "backlog.py"
    program.write_text("\n".join(line[4:] for line in BACKLOG.splitlines()), encoding="utf-8")
    made = programs.run(sys.executable, str(program), str(number), prefix=())
    assert made.returncode == 0, made.stderr


def test_a_large_backlog_takes_no_more_memory_than_a_small_one(programs: Programs) -> None:
    """Its segments are mapped one at a time, so that neither memory nor descriptors go with it."""
    peaks = {}
    for number in (2_000, 60_000):
        leave_backlog(programs, number)
        with Sink("http/protobuf") as received:
            env = {**OURS, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
            told = programs.script(MEASURED, env=env, prefix=())
            assert told.returncode == 0, told.stdout + told.stderr
        assert received.names["traces"] == {"waits": number}
        assert "metrics: last values of processes 0 sent" in told.stdout
        peaks[number] = int(told.stdout.splitlines()[-1])
    small, large = peaks.values()
    assert large - small < 16 << 10, peaks
