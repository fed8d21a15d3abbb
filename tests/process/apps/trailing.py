"""A task whose work ends in a thread after it, as that of a run of Dify does."""

from __future__ import annotations

import contextvars
import os
import threading
import time

from celery import Celery

from otel_dify import observe

app = Celery("trailing", broker=os.environ["BROKER"])
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False


def _run(begun: threading.Event) -> None:
    with observe("run"):
        begun.set()
        time.sleep(0.2)


@app.task(name="trailing.work")
def work() -> None:
    """Begin a run, and return before it has ended."""
    begun = threading.Event()
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(_run, begun)).start()
    begun.wait()
