"""A small web app. It knows nothing of telemetry."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import flask

logging.basicConfig(level=logging.INFO, force=True)
app = flask.Flask(__name__)
log = logging.getLogger("web")


@app.get("/hello/<name>")
def hello(name: str) -> str:
    """Answer with this process's id; hold the worker long enough for another one to be asked."""
    log.info("hello %s", name)
    time.sleep(0.05)
    return str(os.getpid())


@app.get("/killed")
def killed() -> str:
    """Have this worker killed, as a timeout or the system's out-of-memory killer does."""
    log.info("about to be killed")
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


@app.get("/stream")
def stream() -> flask.Response:
    """Answer in pieces."""

    def body() -> Iterator[str]:
        for number in range(3):
            log.info("piece %d", number)
            yield f"{number}\n"

    return flask.Response(flask.stream_with_context(body()))


@app.get("/nested")
def nested() -> str:
    """Submit to an executor from within an executor, as Dify's retrieval does."""
    with ThreadPoolExecutor(2) as outer, ThreadPoolExecutor(2) as inner:

        def submit(number: int) -> int:
            return inner.submit(lambda: number * 2).result()

        return str(sum(outer.map(submit, range(8))))
