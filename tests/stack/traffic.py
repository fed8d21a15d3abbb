"""A process that does what a process of Dify does, seen by otel_dify's own recorders.

`python -m tests.stack.traffic` performs one round of operations for each line on its standard
input, sends them, and answers with a line; it ends with its input. What a round holds is known to
the operation (`COUNTS`), so that what the backends say can be held against it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping

import otel_dify
from otel_dify.operations import attributes as a
from otel_dify.operations import instruments as i
from otel_dify.operations import kinds as k
from otel_dify.operations import kinds_of_apps as apps
from otel_dify.operations.attributes import Attribute
from otel_dify.operations.kind import Kind
from otel_dify.operations.lifecycle import start
from otel_dify.operations.operation import Operation
from otel_dify.signals.gauges import provide

TENANT, APP, WORKFLOW = "tenant-1", "app-1", "workflow-1"
CHAT_ROUTE = "/v1/chat-messages"
MODEL, PROVIDER = "gpt-4o-mini", "langgenius/openai/openai"
INPUT_TOKENS, OUTPUT_TOKENS = 120, 30
# One round: answers by status, runs by status, model calls by outcome.
ANSWERS = {200: 12, 404: 3, 500: 2}
RUNS = {"succeeded": 5, "failed": 2}
CALLS_OK, CALLS_FAILED = sum(RUNS.values()), 1

COUNTS = {
    "requests": sum(ANSWERS.values()),
    "runs": sum(RUNS.values()),
    "input tokens": CALLS_OK * INPUT_TOKENS,
    "output tokens": CALLS_OK * OUTPUT_TOKENS,
    "model calls": CALLS_OK + CALLS_FAILED,
}


def lasting(kind: Kind, seconds: float, known: Mapping[Attribute, object]) -> Operation:
    """Start an operation that has been going on for some seconds already."""
    return start(kind, known, at_ns=time.time_ns() - int(seconds * 1e9))


def done(
    kind: Kind, seconds: float, known: Mapping[Attribute, object], error: Exception | str = ""
) -> None:
    """Let an operation happen that took some seconds."""
    operation = lasting(kind, seconds, known)
    if error:
        operation.fail(error, "" if isinstance(error, Exception) else error)
    operation.end()


def model_call(error: Exception | None = None) -> None:
    """Call a model: half a second, the tokens above, or an error."""
    known: dict[Attribute, object] = {
        a.OPERATION_NAME: "chat",
        a.PROVIDER: "openai",
        a.DIFY_PROVIDER: PROVIDER,
        a.REQUEST_MODEL: MODEL,
    }
    if error is None:
        known |= {
            a.RESPONSE_MODEL: f"{MODEL}-2024-07-18",
            a.INPUT_TOKENS: INPUT_TOKENS,
            a.OUTPUT_TOKENS: OUTPUT_TOKENS,
            a.CALL_PRICE: 0.0003,
            a.CALL_CURRENCY: "USD",
            a.FIRST_TOKEN: 0.2,
        }
    done(k.MODEL_CALL, 0.5, known, error or "")


def run(status: str) -> None:
    """Run a workflow of three nodes: retrieval, tool, model."""
    named = {a.TENANT_ID: TENANT, a.APP_ID: APP, a.APP_NAME: "support", a.USER_ID: "user-1"}
    operation = lasting(
        k.RUN, 1.2, {**named, a.WORKFLOW_ID: WORKFLOW, a.RUN_ID: f"run-{time.time_ns()}"}
    )
    with operation.active():
        for node_type in ("knowledge-retrieval", "tool", "llm"):
            described = {a.NODE_TYPE: node_type, a.NODE_TITLE: node_type, a.NODE_ID: node_type}
            node = lasting(k.NODE, 0.6, described)
            operation.add(a.NODE_COUNT, 1)
            with node.active():
                if node_type == "llm":
                    model_call()
                    node.set(a.TOTAL_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS)
                    node.set(a.DIFY_PROVIDER, PROVIDER)
                    node.set(a.REQUEST_MODEL, MODEL)
                elif node_type == "tool":
                    done(k.TOOL_CALL, 0.1, {a.TOOL_NAME: "search", a.TOOL_PROVIDER: "web"})
                    plugin_daemon = {a.SERVER_ADDRESS: "plugin_daemon", a.SERVER_PORT: 5002}
                    done(
                        k.HTTP_CALL,
                        0.1,
                        {a.HTTP_METHOD: "POST", a.HTTP_STATUS: 200} | plugin_daemon,
                    )
                else:
                    retrieve()
            if status == "failed" and node_type == "llm":
                node.set(a.NODE_RETRIES, 1)
                node.fail("InvokeRateLimitError: 429", "InvokeRateLimitError")
            node.end()
    operation.set(a.TOTAL_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS)
    operation.set(a.INPUT_TOKENS_BELOW, INPUT_TOKENS)
    operation.set(a.OUTPUT_TOKENS_BELOW, OUTPUT_TOKENS)
    if status == "failed":
        operation.fail("InvokeRateLimitError: 429", "InvokeRateLimitError")
    operation.end()


def retrieve() -> None:
    """Search one data set."""
    reranked = {a.OPERATION_NAME: "rerank", a.DIFY_PROVIDER: PROVIDER, a.REQUEST_MODEL: "rerank-v3"}
    done(k.MODEL_CALL, 0.1, reranked)
    dataset = {a.RETRIEVAL_SOURCE: "dataset", a.DATASET_ID: "dataset-1", a.DOCUMENT_COUNT: 4}
    done(apps.RETRIEVAL, 0.2, {**dataset, a.RETRIEVAL_METHOD: "hybrid_search", a.TOP_SCORE: 0.8})


def request(status: int) -> None:
    """Answer a request."""
    known = {
        a.HTTP_METHOD: "POST",
        a.HTTP_STATUS: status,
        a.URL_PATH: CHAT_ROUTE,
        a.REQUEST_ID: f"request-{time.time_ns()}",
        a.CLIENT_ADDRESS: "192.0.2.7",
        a.USER_AGENT: "tests/1.0",
        a.HTTP_REQUEST_SIZE: 312,
    }
    if status != 404:
        known[a.HTTP_ROUTE] = CHAT_ROUTE
    operation = lasting(k.REQUEST, 0.8, known)
    with operation.active():
        query = {a.DB_SYSTEM: "postgresql", a.DB_NAMESPACE: "dify", a.DB_OPERATION: "SELECT"}
        done(k.CHECKOUT, 0.0005, {})
        done(k.QUERY, 0.002, query)
        done(k.QUERY, 0.0005, {a.DB_SYSTEM: "redis", a.DB_NAMESPACE: "0", a.DB_OPERATION: "GET"})
        if status >= 500:
            done(k.QUERY, 0.01, query, ConnectionError("the database has gone away"))
    if status >= 500:
        operation.set(a.ERROR_ID, f"error-{time.time_ns()}")
        operation.fail(ConnectionError("the database has gone away"))
    operation.end()


def message(mode: str) -> None:
    """Answer a message of a chat."""
    done(
        apps.MESSAGE,
        1.0,
        {
            a.TENANT_ID: TENANT,
            a.APP_ID: APP,
            a.APP_MODE: mode,
            a.DIFY_PROVIDER: PROVIDER,
            a.REQUEST_MODEL: MODEL,
            a.MESSAGE_FIRST_TOKEN: 0.3,
            a.STREAM: True,
        },
    )


def task(state: str) -> None:
    """Run a task of Celery."""
    known = {
        a.TASK_NAME: "tasks.mail_task",
        a.MESSAGING_SYSTEM: "celery",
        a.DESTINATION: "mail",
        a.TASK_STATE: state,
        a.QUEUE_WAIT: 0.1,
    }
    done(k.SEND, 0.001, known)
    done(k.TASK, 0.4, known, TimeoutError("no answer") if state == "FAILURE" else "")


def log_error() -> None:
    """Log what went wrong, as Dify's code does."""
    try:
        int("no number")
    except ValueError:
        logging.getLogger("services.dataset_service").exception("The data set cannot be read")


def do_round() -> None:
    """Perform one round: what `COUNTS` says, and what else panels show."""
    for status, times in ANSWERS.items():
        for _ in range(times):
            request(status)
    for outcome, times in RUNS.items():
        for _ in range(times):
            run(outcome)
    owner = {a.TENANT_ID: TENANT, a.APP_ID: APP}
    for _ in range(CALLS_FAILED):
        model_call(type("InvokeRateLimitError", (Exception,), {})("429 Too Many Requests"))
    message("chat")
    message("advanced-chat")
    task("SUCCESS")
    task("FAILURE")
    log_error()
    generation = {**owner, a.OPERATION_TYPE: "generate_name"}
    done(apps.GENERATION, 0.3, generation)
    done(apps.MODERATION, 0.1, {**owner, a.MODERATION_TYPE: "input", a.MODERATION_FLAGGED: False})
    done(apps.FEEDBACK, 0.01, {**owner, a.FEEDBACK_RATING: "dislike"})
    done(apps.ANNOTATION_HIT, 0.01, owner)
    done(apps.CONVERSATION_CREATED, 0.001, owner)
    indexing = {a.TENANT_ID: TENANT, a.DATASET_ID: "dataset-1", a.INDEXING_PHASE: "split"}
    done(apps.INDEXING, 2.0, indexing)
    done(apps.STORAGE, 0.01, {a.STORAGE_OPERATION: "save", a.STORAGE_TYPE: "S3Storage"})
    done(apps.MAIL, 0.2, {})
    done(apps.TRIGGER, 0.1, {**owner, a.TRIGGER_TYPE: "webhook"})


def main() -> None:
    """Perform rounds until the input ends."""
    otel_dify.configure()
    provide(i.QUEUE_SIZE, lambda: [(7, {"queue_name": "dataset"})])
    provide(i.CONNECTIONS_ACTIVE, lambda: [(3, {})])
    provide(i.CONNECTIONS_MAX, lambda: [(40, {})])
    provide(i.ACTIVE_CONVERSATIONS, lambda: [(2, {"app_id": APP})])
    provide(i.ACTIVE_SESSIONS, lambda: [(2, {})])
    for _ in sys.stdin:
        do_round()
        otel_dify.flush()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
