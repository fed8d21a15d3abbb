"""Web servers of every sort: each request once, under the worker that served it, to the last."""

from __future__ import annotations

import signal
import socket
import threading
from collections import Counter

import httpx
import pytest

from examples.host.children import free_port
from tests.process.conftest import Programs, eventually

# What neither an operator nor a user should ever read.
WRONG = (
    "Traceback",
    "Failed to detach",
    "otel_dify",
    "WARNING:opentelemetry",
    "MonkeyPatchWarning",
)


def listens(port: int) -> bool:
    """Tell whether a server accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(programs: Programs, *command: str, stop: signal.Signals = signal.SIGTERM) -> str:
    """Start a server; return its address."""
    port = free_port()
    words = [word.replace("PORT", str(port)) for word in command]
    programs.start("web", *words, ready=lambda: listens(port), stop=stop)
    return f"http://127.0.0.1:{port}"


def ask(url: str, times: int) -> list[str]:
    """Ask at once so many times; return the ids of the processes that answered."""
    answers: list[str] = []

    def one(number: int) -> None:
        answers.append(httpx.get(f"{url}/hello/{number}", timeout=60).text)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def check(programs: Programs, pids: list[str]) -> None:
    """Check that each request was told once, by the process that served it."""
    spans = programs.spans("GET /hello/<name>")
    assert Counter(span.process.pid for span in spans) == Counter(pids)
    assert programs.counted("http.server.request.duration", **{"http.route": "/hello/<name>"}) == (
        len(pids)
    )
    by_id = {(span.trace_id, span.span_id): span for span in spans}
    logs = programs.logs("web")
    said = {log.body: by_id.get((log.trace_id, log.span_id)) for log in logs}
    for number in range(len(pids)):
        span = said[f"hello {number}"]
        assert span is not None
        assert span.text("url.path") == f"/hello/{number}"
    assert len([log for log in logs if str(log.body).startswith("hello")]) == len(pids)
    instances = {(span.process.instance, span.process.pid) for span in spans}
    assert len({instance for instance, _ in instances}) == len(set(pids))
    assert {span.process.service for span in spans} == {"dify-api"}


def test_flasks_own_server(programs: Programs) -> None:
    # It ends in an orderly way on an interrupt only.
    url = serve(programs, "flask", "--app", "web", "run", "--port", "PORT", stop=signal.SIGINT)
    pids = ask(url, 5)
    assert httpx.get(f"{url}/stream").text == "0\n1\n2\n"
    programs.stop()
    check(programs, pids)
    [stream] = programs.spans("GET /stream")
    pieces = [log for log in programs.logs("web") if str(log.body).startswith("piece")]
    assert {log.span_id for log in pieces} == {stream.span_id}
    assert len(pieces) == 3


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_gunicorn(programs: Programs, kind: str, workers: int) -> None:
    """The last requests are told too: they were made just before the workers were ended."""
    url = serve(
        programs, "gunicorn", "-k", kind, "-w", str(workers), "-b", "127.0.0.1:PORT", "web:app"
    )
    pids: list[str] = []

    def all_have_answered() -> bool:
        pids.append(httpx.get(f"{url}/hello/{len(pids)}", timeout=60).text)
        return len(set(pids)) == workers

    assert eventually(all_have_answered)
    assert httpx.get(f"{url}/stream").text == "0\n1\n2\n"
    assert httpx.get(f"{url}/nested", timeout=60).text == "56"
    programs.stop()
    check(programs, pids)
    assert len(programs.spans("GET /stream")) == 1
    assert len(programs.spans("GET /nested")) == 1
    log = programs.log("web")
    assert not [line for line in log.splitlines() if any(wrong in line for wrong in WRONG)], log


def test_the_log_of_the_server_itself_is_told(programs: Programs) -> None:
    """Gunicorn's loggers do not propagate, and its master never handles a request."""
    url = serve(programs, "gunicorn", "-k", "gthread", "-b", "127.0.0.1:PORT", "web:app")
    ask(url, 1)
    programs.stop()
    bodies = [str(log.body) for log in programs.logs("gunicorn.error")]
    assert [body for body in bodies if body.startswith("Listening at")]
    assert [body for body in bodies if body.startswith("Booting worker")]
