"""Celery tasks, sent and run."""

from __future__ import annotations

from opentelemetry.trace import SpanKind

from otel_dify.table.attribute import define
from otel_dify.table.common import FAILURE
from otel_dify.table.engine import RUN_STATUS
from otel_dify.table.http import OUTCOME_BELOW
from otel_dify.table.instrument import NODE_BUCKETS, Amount, Instrument, Recording
from otel_dify.table.kind import Kind
from otel_dify.table.limits import LEFT_OUT, LEFT_OUT_BELOW, TOLD
from otel_dify.table.messages import MESSAGE_STATUS
from otel_dify.table.queries import FOLDED

# Task.
TASK_NAME = define("celery.task_name", "string", "Task")
TASK_STATE = define(
    "celery.state", "string", "State the task ended in; `terminated`: its worker was killed"
)
TASK_ACTION = define("celery.action", "string", "`apply_async` where sent, `run` where run")
MESSAGING_SYSTEM = define("messaging.system", "string", "Always `celery`")
MESSAGING_OPERATION = define("messaging.operation.name", "string", "`send` or `process`")
DESTINATION = define("messaging.destination.name", "string", "Queue")
MESSAGE_UID = define("messaging.message.id", "string", "Id of the task")
QUEUE_WAIT = define("dify.task.queue_wait", "double", "Seconds between sending and running")
SENT_MESSAGES = Instrument(
    "messaging.client.sent.messages", "counter", "{message}", "Tasks handed to the broker"
)
PROCESS_DURATION = Instrument(
    "messaging.process.duration", "histogram", "s", "Duration of tasks", NODE_BUCKETS
)
QUEUE_WAIT_METRIC = Instrument(
    "dify.task.queue_wait", "histogram", "s", "Time between sending and running", NODE_BUCKETS
)
QUEUE_SIZE = Instrument(
    "dify.task.queue.size",
    "gauge",
    "{task}",
    "Tasks waiting in a queue of Celery, by `queue_name`. Workers of several hosts report the "
    "same queues: take the maximum",
)
_TASK = (
    (MESSAGING_SYSTEM.key, MESSAGING_SYSTEM),
    (DESTINATION.key, DESTINATION),
    (TASK_NAME.key, TASK_NAME),
)
_ATTRIBUTES = (TASK_NAME, TASK_ACTION, MESSAGING_SYSTEM, MESSAGING_OPERATION, DESTINATION)
SEND = Kind(
    name="send",
    doc="A Celery task handed to the broker.",
    span_name="send {celery.task_name}",
    span_kind=SpanKind.PRODUCER,
    below=("request", "task", "node", "message", "trigger"),
    attributes=(*_ATTRIBUTES, MESSAGE_UID, *FOLDED),
    recordings=(Recording(SENT_MESSAGES, Amount.ONE, (*_TASK, FAILURE)),),
)
TASK = Kind(
    name="task",
    doc="A Celery task run by a worker.",
    span_name="process {celery.task_name}",
    span_kind=SpanKind.CONSUMER,
    below=("send",),
    attributes=(
        *_ATTRIBUTES,
        MESSAGE_UID,
        TASK_STATE,
        QUEUE_WAIT,
        RUN_STATUS,
        MESSAGE_STATUS,
        *FOLDED,
        *LEFT_OUT_BELOW,
        *LEFT_OUT,
    ),
    recordings=(
        Recording(
            PROCESS_DURATION, Amount.DURATION, (*_TASK, (TASK_STATE.key, TASK_STATE), FAILURE)
        ),
        Recording(QUEUE_WAIT_METRIC, QUEUE_WAIT, _TASK),
    ),
    status=TASK_STATE,
    event="dify.task.execution",
    subject="task {celery.task_name}",
    recovered=True,
    also=(TOLD, *OUTCOME_BELOW),
    limited=True,
    told=(RUN_STATUS, MESSAGE_STATUS),
    hoists=True,
)
