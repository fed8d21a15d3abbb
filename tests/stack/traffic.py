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
from types import SimpleNamespace

import otel_dify
from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from otel_dify.signals.gauges import provide
from otel_dify.sources.dify import apps

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


def lasting(kind: t.Kind, seconds: float, known: Mapping[t.Attribute, object]) -> Operation:
    """Start an operation that has been going on for some seconds already."""
    return start(kind, known, at_ns=time.time_ns() - int(seconds * 1e9))


def done(
    kind: t.Kind, seconds: float, known: Mapping[t.Attribute, object], error: Exception | str = ""
) -> None:
    """Let an operation happen that took some seconds."""
    operation = lasting(kind, seconds, known)
    if error:
        operation.fail(error, "" if isinstance(error, Exception) else error)
    operation.end()


def model_call(error: Exception | None = None) -> None:
    """Call a model: half a second, the tokens above, or an error."""
    known: dict[t.Attribute, object] = {
        t.OPERATION_NAME: "chat",
        t.PROVIDER: "openai",
        t.DIFY_PROVIDER: PROVIDER,
        t.REQUEST_MODEL: MODEL,
    }
    if error is None:
        known |= {
            t.RESPONSE_MODEL: f"{MODEL}-2024-07-18",
            t.INPUT_TOKENS: INPUT_TOKENS,
            t.OUTPUT_TOKENS: OUTPUT_TOKENS,
            t.CALL_PRICE: 0.0003,
            t.CALL_CURRENCY: "USD",
            t.FIRST_TOKEN: 0.2,
        }
    done(t.MODEL_CALL, 0.5, known, error or "")


def run(status: str) -> None:
    """Run a workflow of three nodes: retrieval, tool, model."""
    named = {t.TENANT_ID: TENANT, t.APP_ID: APP, t.APP_NAME: "support", t.USER_ID: "user-1"}
    operation = lasting(
        t.RUN, 1.2, {**named, t.WORKFLOW_ID: WORKFLOW, t.RUN_ID: f"run-{time.time_ns()}"}
    )
    with operation.active():
        for node_type in ("knowledge-retrieval", "tool", "llm"):
            described = {t.NODE_TYPE: node_type, t.NODE_TITLE: node_type, t.NODE_ID: node_type}
            node = lasting(t.NODE, 0.6, described)
            operation.add(t.NODE_COUNT, 1)
            with node.active():
                if node_type == "llm":
                    model_call()
                    node.set(t.TOTAL_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS)
                    node.set(t.DIFY_PROVIDER, PROVIDER)
                    node.set(t.REQUEST_MODEL, MODEL)
                elif node_type == "tool":
                    tool = {t.TOOL_NAME: "search", t.TOOL_PROVIDER: "web"}
                    done(t.TOOL_CALL, 0.1, {t.OPERATION_NAME: "execute_tool", **tool})
                    plugin_daemon = {t.SERVER_ADDRESS: "plugin_daemon", t.SERVER_PORT: 5002}
                    done(
                        t.HTTP_CALL,
                        0.1,
                        {t.HTTP_METHOD: "POST", t.HTTP_STATUS: 200} | plugin_daemon,
                    )
                else:
                    retrieve()
            if status == "failed" and node_type == "llm":
                node.set(t.NODE_RETRIES, 1)
                node.fail("InvokeRateLimitError: 429", "InvokeRateLimitError")
            node.end()
    operation.set(t.TOTAL_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS)
    operation.set(t.INPUT_TOKENS_BELOW, INPUT_TOKENS)
    operation.set(t.OUTPUT_TOKENS_BELOW, OUTPUT_TOKENS)
    if status == "failed":
        operation.fail("InvokeRateLimitError: 429", "InvokeRateLimitError")
    operation.end()


def retrieve() -> None:
    """Search one data set."""
    reranked = {t.OPERATION_NAME: "rerank", t.DIFY_PROVIDER: PROVIDER, t.REQUEST_MODEL: "rerank-v3"}
    done(t.MODEL_CALL, 0.1, reranked)
    dataset = {t.RETRIEVAL_SOURCE: "dataset", t.DATASET_ID: "dataset-1", t.DOCUMENT_COUNT: 4}
    done(t.RETRIEVAL, 0.2, {**dataset, t.RETRIEVAL_METHOD: "hybrid_search", t.TOP_SCORE: 0.8})


def request(status: int) -> None:
    """Answer a request."""
    known = {
        t.HTTP_METHOD: "POST",
        t.HTTP_STATUS: status,
        t.URL_PATH: CHAT_ROUTE,
        t.REQUEST_ID: f"request-{time.time_ns()}",
        t.CLIENT_ADDRESS: "192.0.2.7",
        t.USER_AGENT: "tests/1.0",
        t.HTTP_REQUEST_SIZE: 312,
    }
    if status != 404:
        known[t.HTTP_ROUTE] = CHAT_ROUTE
    operation = lasting(t.REQUEST, 0.8, known)
    with operation.active():
        query = {t.DB_SYSTEM: "postgresql", t.DB_NAMESPACE: "dify", t.DB_OPERATION: "SELECT"}
        done(t.CHECKOUT, 0.0005, {})
        done(t.QUERY, 0.002, query)
        done(t.QUERY, 0.0005, {t.DB_SYSTEM: "redis", t.DB_NAMESPACE: "0", t.DB_OPERATION: "GET"})
        if status >= 500:
            done(t.QUERY, 0.01, query, ConnectionError("the database has gone away"))
    if status >= 500:
        operation.set(t.ERROR_ID, f"error-{time.time_ns()}")
        operation.fail(ConnectionError("the database has gone away"))
    operation.end()


def message(mode: str) -> None:
    """Answer a message of a chat."""
    done(
        t.MESSAGE,
        1.0,
        {
            t.TENANT_ID: TENANT,
            t.APP_ID: APP,
            t.APP_MODE: mode,
            t.DIFY_PROVIDER: PROVIDER,
            t.REQUEST_MODEL: MODEL,
            t.MESSAGE_FIRST_TOKEN: 0.3,
            t.STREAM: True,
        },
    )


def task(state: str) -> None:
    """Run a task of Celery."""
    known = {
        t.TASK_NAME: "tasks.mail_task",
        t.MESSAGING_SYSTEM: "celery",
        t.DESTINATION: "mail",
        t.TASK_STATE: state,
        t.QUEUE_WAIT: 0.1,
    }
    done(t.SEND, 0.001, known)
    done(t.TASK, 0.4, known, TimeoutError("no answer") if state == "FAILURE" else "")


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
    owner = {t.TENANT_ID: TENANT, t.APP_ID: APP}
    for _ in range(CALLS_FAILED):
        model_call(type("InvokeRateLimitError", (Exception,), {})("429 Too Many Requests"))
    message("chat")
    message("advanced-chat")
    task("SUCCESS")
    task("FAILURE")
    log_error()
    generation = {**owner, t.OPERATION_TYPE: "generate_name"}
    done(t.GENERATION, 0.3, generation)
    done(t.MODERATION, 0.1, {**owner, t.MODERATION_TYPE: "input", t.MODERATION_FLAGGED: False})
    done(t.FEEDBACK, 0.01, {**owner, t.FEEDBACK_RATING: "dislike"})
    done(t.ANNOTATION_HIT, 0.01, owner)
    done(t.CONVERSATION_CREATED, 0.001, owner)
    done(t.WORKFLOW_PUBLISHED, 0.001, {**owner, t.WORKFLOW_VERSION: "2026-11-24 08:00:00"})
    indexing = {t.TENANT_ID: TENANT, t.DATASET_ID: "dataset-1", t.INDEXING_PHASE: "split"}
    done(t.INDEXING, 2.0, indexing)
    done(t.STORAGE, 0.01, {t.STORAGE_OPERATION: "save", t.STORAGE_TYPE: "S3Storage"})
    done(t.MAIL, 0.2, {})
    done(t.TRIGGER, 0.1, {**owner, t.TRIGGER_TYPE: "webhook"})


def main() -> None:
    """Perform rounds until the input ends."""
    otel_dify.configure()
    apps.learn(
        SimpleNamespace(id=APP, name="support", mode="workflow", tenant_id=TENANT),
        SimpleNamespace(id=WORKFLOW, version="2026-11-24 08:00:00"),
    )
    apps.attach()
    provide(t.QUEUE_SIZE, lambda: [(7, {"queue_name": "dataset"})])
    provide(t.CONNECTIONS_ACTIVE, lambda: [(3, {})])
    provide(t.CONNECTIONS_MAX, lambda: [(40, {})])
    provide(t.ACTIVE_CONVERSATIONS, lambda: [(2, {"app_id": APP})])
    provide(t.ACTIVE_SESSIONS, lambda: [(2, {})])
    for _ in sys.stdin:
        do_round()
        otel_dify.flush()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
