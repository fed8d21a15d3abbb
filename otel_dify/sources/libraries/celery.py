"""Celery tasks, sent and run, through OpenTelemetry's Celery instrumentation."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from celery import signals
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.trace import SpanKind

from otel_dify import table as t
from otel_dify.guard import never_raises
from otel_dify.operations.current import current
from otel_dify.operations.operation import Operation
from otel_dify.process import finish
from otel_dify.sources.libraries.bridge import instrument

_SENT_AT = "otel_dify_sent_at"
"""Header of a task: when it was sent, nanoseconds since the epoch."""
_OF_REQUEST = {t.REQUEST_ID: "otel_dify_request_id", t.API_KEY_ID: "otel_dify_api_key_id"}
"""What a task takes over from the request that it serves, to the header that has it."""

_STREAMED = "workflow_based_app_execution_task"
_PAYLOAD = {
    t.RUN_ID: "workflow_run_id",
    t.WORKFLOW_ID: "workflow_id",
    t.APP_ID: "app_id",
    t.TENANT_ID: "tenant_id",
}

# Tasks that ask again and again whether there is something to do. What they find they send as
# other tasks, whose traces begin there.
_POLLS = frozenset(
    {
        "batch_update_api_token_last_used",
        "check_and_resume",
        "poll_workflow_schedules",
        "queue_monitor_task",
        "trigger_provider_refresh",
    }
)


def attach(_: ModuleType) -> None:
    """Attach to the signals of Celery."""
    signals.before_task_publish.connect(_stamp, weak=False)
    instrument(
        CeleryInstrumentor(),  # type: ignore[no-untyped-call] # upstream is untyped
        {SpanKind.PRODUCER: t.SEND, SpanKind.CONSUMER: t.TASK},
        refine=_refine,
        ignored=lambda name: name.rpartition(".")[2] in _POLLS,
    )
    # Connected after the instrumentation's own handler, so that the task's operation is there.
    signals.task_prerun.connect(_waited, weak=False)
    signals.worker_process_shutdown.connect(_last_words, weak=False)


def _refine(operation: Operation, _name: str) -> None:
    operation.set(t.MESSAGING_SYSTEM, "celery")
    sent = operation.kind is t.SEND
    operation.set(t.MESSAGING_OPERATION, "send" if sent else "process")


@never_raises("otel_dify.sources.libraries.celery sent")
def _stamp(headers: dict[str, Any] | None = None, body: Any = None, **_: Any) -> None:
    if headers is not None:
        headers[_SENT_AT] = time.time_ns()
        sender = current()
        if sender is not None and str(headers.get("task", "")).endswith(_STREAMED):
            _name(sender, body)
        for attribute, name in _OF_REQUEST.items():
            value = sender.get(attribute) if sender is not None else None
            if value is not None:
                headers[name] = value


def _name(sender: Operation, body: Any) -> None:
    """Take the run's id from what is sent: the request that waits for its events has it too.

    The task's one argument is JSON (``AppExecutionParams`` in Dify's
    ``tasks/app_generate/workflow_execute_task.py``).
    """
    (payload, *_), *_ = body
    known = json.loads(payload)
    for attribute, name in _PAYLOAD.items():
        sender.set(attribute, known.get(name))


@never_raises("otel_dify.sources.libraries.celery wait")
def _waited(task: Any = None, **_: Any) -> None:
    operation = current()
    if operation is None or operation.kind is not t.TASK:
        return
    operation.set(t.TASK_NAME, task.name)
    for attribute, name in _OF_REQUEST.items():
        operation.set(attribute, getattr(task.request, name, None))
    operation.knows(partial(_given, task.request.args, task.request.kwargs))
    delivery = task.request.delivery_info or {}
    operation.set(t.DESTINATION, delivery.get("routing_key"))
    sent = getattr(task.request, _SENT_AT, None)
    if isinstance(sent, int):
        operation.set(t.QUEUE_WAIT, max(operation.start_ns - sent, 0) / 1e9)


def _given(args: Any, kwargs: Any) -> list[Any]:
    """Read what a task was given; Dify gives some JSON as text."""
    given = [*(args or ()), *(kwargs or {}).values()]
    return [_read(value) for value in given]


def _read(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("{", "[")):
        with suppress(ValueError):
            return json.loads(value)
    return value


@never_raises("otel_dify.sources.libraries.celery shutdown")
def _last_words(**_: Any) -> None:
    """Send what waits: Celery's pool processes end without running exit handlers."""
    finish()
