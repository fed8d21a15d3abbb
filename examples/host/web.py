"""The HTTP API: the part of Dify's service API that runs workflows.

`Authorization: Bearer app-<name>` chooses the app.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify, request, stream_with_context
from flask.typing import ResponseReturnValue

from examples.host import db, runner
from examples.host.apps import load_app
from examples.host.runner import Event, Order
from examples.host.tasks import channel, redis, workflow_based_app_execution_task

# A stream ends where the worker has been silent for so long.
IDLE_SECONDS = 300

app = Flask(__name__)


def _refuse(status: HTTPStatus, code: str, message: str) -> ResponseReturnValue:
    return {"code": code, "message": message, "status": status.value}, status


def _app_name() -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer app-")


@app.get("/health")
def health() -> ResponseReturnValue:
    """Say that the process serves."""
    return {"status": "ok"}


@app.post("/v1/workflows/run")
def run_workflow() -> ResponseReturnValue:
    """Run an app: here where `response_mode` is `blocking`, by a worker where `streaming`."""
    body: dict[str, Any] = request.get_json()
    try:
        asked = load_app(_app_name())
    except LookupError as error:
        return _refuse(HTTPStatus.UNAUTHORIZED, "unauthorized", str(error))
    inputs = body.get("inputs") or {}
    if missing := asked.missing(inputs):
        message = f"{', '.join(missing)} is required in input form"
        return _refuse(HTTPStatus.BAD_REQUEST, "invalid_param", message)
    order = Order(asked.name, inputs, body.get("user") or "anonymous", asked.app_id)
    if body.get("response_mode") == "streaming":
        # As in Dify, the task is sent by the generator, when the server has begun to read the
        # response: the view, and whatever watched it, has returned by then.
        sent = _subscribed(order, lambda: workflow_based_app_execution_task.delay(order.dumps()))
        return Response(stream_with_context(_sse(sent)), mimetype="text/event-stream")
    *_, last = runner.run(order)
    return {key: last[key] for key in ("task_id", "workflow_run_id", "data")}


@app.get("/v1/workflows/run/<run_id>")
def workflow_run(run_id: str) -> ResponseReturnValue:
    """Show a run and its nodes as the database has them."""
    found = db.run_with_nodes(run_id)
    if found is None:
        return _refuse(HTTPStatus.NOT_FOUND, "not_found", f"no workflow run {run_id}")
    run, nodes = found
    return jsonify({**_columns(run), "nodes": [_columns(node) for node in nodes]})


def _columns(row: db.Base) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


def _subscribed(order: Order, start: Callable[[], object]) -> Generator[Event, None, None]:
    """Subscribe to a run's channel, then start it; yield its events until the last."""
    yield {"event": "ping"}
    # redis-py has types, but not for this method.
    with redis.pubsub() as subscription:  # type: ignore[no-untyped-call]
        subscription.subscribe(channel(order.workflow_run_id))
        heard = time.monotonic()
        while time.monotonic() - heard < IDLE_SECONDS:
            message = subscription.get_message(timeout=1)
            if message is None:
                continue
            heard = time.monotonic()
            if message["type"] == "subscribe":
                start()
                continue
            event: Event = json.loads(message["data"])
            yield event
            if event["event"] == "workflow_finished":
                return


def _sse(events: Generator[Event, None, None]) -> Generator[str, None, None]:
    for event in events:
        if event["event"] == "ping":
            yield "event: ping\n\n"
        else:
            yield f"data: {json.dumps(event)}\n\n"
