"""Runs an app, keeps its rows, and tells of it in the events of Dify's API.

Blocking requests call this in the web process, streaming ones in a Celery worker.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from examples.host import db
from examples.host.apps import App, load_app
from examples.host.engine import TENANT_ID, Run
from examples.host.graphon_api import events
from examples.host.provider import OpenAIRuntime

type Event = dict[str, Any]
logger = logging.getLogger(__name__)

_NODE_ENDS = {
    events.NodeRunSucceededEvent: "succeeded",
    events.NodeRunFailedEvent: "failed",
    events.NodeRunExceptionEvent: "exception",
}
_RUN_ENDS = {
    events.GraphRunSucceededEvent: "succeeded",
    events.GraphRunPartialSucceededEvent: "partial-succeeded",
    events.GraphRunFailedEvent: "failed",
    events.GraphRunAbortedEvent: "stopped",
}
_CONTAINERS = {
    events.NodeRunIterationStartedEvent: "iteration_started",
    events.NodeRunIterationNextEvent: "iteration_next",
    events.NodeRunIterationSucceededEvent: "iteration_completed",
    events.NodeRunIterationFailedEvent: "iteration_completed",
    events.NodeRunLoopStartedEvent: "loop_started",
    events.NodeRunLoopNextEvent: "loop_next",
    events.NodeRunLoopSucceededEvent: "loop_completed",
    events.NodeRunLoopFailedEvent: "loop_completed",
}


@cache
def models() -> OpenAIRuntime:
    """Return the process's model runtime, for the provider at `OPENAI_API_BASE`."""
    return OpenAIRuntime(
        os.environ["OPENAI_API_BASE"], os.environ.get("OPENAI_API_KEY", "sk-example")
    )


@dataclass(frozen=True)
class Order:
    """What was asked for; it travels to the worker as JSON.

    Attributes:
        app: the app's name.
        inputs: the start node's variables.
        user: who asks, as the caller names them.
        app_id: the app's id.
        workflow_run_id: the workflow run's id.
    """

    app: str
    inputs: Mapping[str, Any]
    user: str
    app_id: str = ""
    workflow_run_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def dumps(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.__dict__)

    @classmethod
    def loads(cls, text: str) -> Order:
        """Return what `dumps` wrote."""
        return cls(**json.loads(text))


class _Recorder:
    """Turns graphon's events into rows and into events of Dify's API."""

    def __init__(self, app: App, order: Order) -> None:
        self._order = order
        self._owner = {
            "tenant_id": TENANT_ID,
            "app_id": app.app_id,
            "workflow_id": app.workflow_id,
            "created_by": order.user,
        }
        self._began = db.now()
        self._steps = self._tokens = 0

    def begin(self) -> Event:
        inputs = db.dumps(self._order.inputs)
        db.add(db.WorkflowRun(id=self._order.workflow_run_id, inputs=inputs, **self._owner))
        data = {"inputs": dict(self._order.inputs), "created_at": int(self._began.timestamp())}
        return self._event("workflow_started", self._order.workflow_run_id, data)

    def translate(self, event: Any) -> Event | None:
        """Return the API's event for one of graphon's, where it has one."""
        kind = type(event)
        told: Event | None = None
        if kind is events.NodeRunStartedEvent:
            told = self._node_started(event)
        elif kind is events.NodeRunRetryEvent:
            tried = {"status": "retry", "error": event.error}
            db.change(db.WorkflowNodeExecution, event.id, tried)
            told = self._node("node_retry", event, retry_index=event.retry_index)
        elif kind in _NODE_ENDS:
            told = self._node_ended(event, _NODE_ENDS[kind])
        elif kind in _CONTAINERS:
            told = self._node(_CONTAINERS[kind], event, index=getattr(event, "index", None))
        elif kind is events.NodeRunStreamChunkEvent and event.chunk:
            told = self._node("text_chunk", event, text=event.chunk)
        elif kind in _RUN_ENDS:
            told = self._ended(event, _RUN_ENDS[kind])
        return told

    def _event(self, name: str, row_id: str, data: Mapping[str, Any]) -> Event:
        return {
            "event": name,
            "task_id": self._order.workflow_run_id,
            "workflow_run_id": self._order.workflow_run_id,
            "data": {"id": row_id, "workflow_id": self._owner["workflow_id"], **data},
        }

    def _node(self, name: str, event: Any, **more: Any) -> Event:
        return self._event(
            name, event.id, {"node_id": event.node_id, "node_type": str(event.node_type), **more}
        )

    def _node_started(self, event: Any) -> Event:
        self._steps += 1
        db.add(
            db.WorkflowNodeExecution(
                id=event.id,
                workflow_run_id=self._order.workflow_run_id,
                index=self._steps,
                predecessor_node_id=event.predecessor_node_id,
                node_id=event.node_id,
                node_type=str(event.node_type),
                title=event.node_title,
                created_at=event.start_at,
                **self._owner,
            )
        )
        return self._node("node_started", event, title=event.node_title, index=self._steps)

    def _node_ended(self, event: Any, status: str) -> Event:
        result = event.node_run_result
        finished = event.finished_at or db.now()
        error = getattr(event, "error", None)
        elapsed = (finished - event.start_at).total_seconds()
        # A container's usage is that of the nodes inside, which have ended before it.
        if event.node_type not in ("iteration", "loop"):
            self._tokens += result.llm_usage.total_tokens
        values = {
            "inputs": db.dumps(result.inputs),
            "process_data": db.dumps(result.process_data),
            "outputs": db.dumps(result.outputs),
            "execution_metadata": db.dumps(result.metadata),
            "status": status,
            "error": error,
            "elapsed_time": elapsed,
            "finished_at": finished,
        }
        db.change(db.WorkflowNodeExecution, event.id, values)
        outputs = json.loads(values["outputs"])
        told = {"status": status, "error": error, "elapsed_time": elapsed, "outputs": outputs}
        return self._node("node_finished", event, **told)

    def _ended(self, event: Any, status: str) -> Event:
        finished = db.now()
        values = {
            "status": status,
            "error": getattr(event, "error", None),
            "elapsed_time": (finished - self._began).total_seconds(),
            "total_tokens": self._tokens,
            "total_steps": self._steps,
            "exceptions_count": getattr(event, "exceptions_count", 0),
        }
        outputs = db.dumps(getattr(event, "outputs", {}))
        db.change(
            db.WorkflowRun,
            self._order.workflow_run_id,
            {**values, "outputs": outputs, "finished_at": finished},
        )
        told = {
            **values,
            "outputs": json.loads(outputs),
            "created_at": int(self._began.timestamp()),
            "finished_at": int(finished.timestamp()),
        }
        return self._event("workflow_finished", self._order.workflow_run_id, told)


def run(order: Order) -> Generator[Event, None, None]:
    """Run an app and yield the events of Dify's API; the last is `workflow_finished`.

    Raises:
        LookupError: there is no such app.
    """
    app = load_app(order.app)
    recorder = _Recorder(app, order)
    logger.info("workflow run %s of %s begins", order.workflow_run_id, order.app)
    yield recorder.begin()
    for event in Run(app, order.inputs, order.user, models(), order.workflow_run_id).events():
        told = recorder.translate(event)
        if told is not None:
            yield told
    logger.info("workflow run %s of %s has ended", order.workflow_run_id, order.app)
