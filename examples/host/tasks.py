"""The Celery application: runs of streaming requests, and a task that cleans up.

Names of tasks and queues are Dify's. `REDIS_URL` says where broker and channels are.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta

from celery import Celery
from redis import Redis

from examples.host import db
from examples.host.runner import Order, run

QUEUE = "workflow_based_app_execution"
RETENTION_QUEUE = "retention"
KEPT = timedelta(days=30)

REDIS_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
app = Celery("examples", broker=REDIS_URL)
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    beat_schedule={
        "clean_workflow_runlogs_precise": {
            "task": "schedule.clean_workflow_runlogs_precise.clean_workflow_runlogs_precise",
            "schedule": timedelta(days=1),
        }
    },
)
# One client a process: it opens its connections when they are needed, after any fork.
redis: Redis = Redis.from_url(REDIS_URL)


def channel(run_id: str) -> str:
    """Return the name of the channel on which a run's events are published."""
    return f"channel:workflow:{run_id}"


@app.task(
    name="tasks.app_generate.workflow_execute_task.workflow_based_app_execution_task", queue=QUEUE
)
def workflow_based_app_execution_task(payload: str) -> None:
    """Run an app (an Order as JSON) and publish its events as they come."""
    order = Order.loads(payload)
    for event in run(order):
        redis.publish(channel(order.workflow_run_id), json.dumps(event))


@app.task(
    name="schedule.clean_workflow_runlogs_precise.clean_workflow_runlogs_precise",
    queue=RETENTION_QUEUE,
)
def clean_workflow_runlogs_precise() -> int:
    """Delete runs older than 30 days. Return how many."""
    return db.delete_runs_before(db.now() - KEPT)
