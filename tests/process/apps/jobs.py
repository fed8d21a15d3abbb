"""Celery tasks. They know nothing of telemetry."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from redis import Redis

BROKER = os.environ["BROKER"]
answers = Redis.from_url(BROKER)
app = Celery("jobs", broker=BROKER)
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True
log = logging.getLogger("jobs")
log.setLevel(logging.INFO)


@app.task(name="jobs.work")
def work(number: int) -> None:
    """Answer with the id of the process that works."""
    log.info("working on %d", number)
    answers.rpush("answers", os.getpid())


@app.task(name="jobs.nested")
def nested() -> None:
    """Submit to an executor from within an executor, as Dify's retrieval does."""
    with ThreadPoolExecutor(2) as outer, ThreadPoolExecutor(2) as inner:

        def submit(number: int) -> int:
            return inner.submit(lambda: number * 2).result()

        answers.rpush("answers", sum(outer.map(submit, range(8))))
