"""A process with a run that is far too large: `python -m tests.stack.large APP`.

An iteration of 10,000 items with a node and a model call in each, one of them with a prompt of
50 MB; a loop of 1,000 passes; 100,000 log lines; five failures at the very end. It prints as JSON
the trace's id, what was lost, and by how many megabytes it has grown.
"""

from __future__ import annotations

import json
import logging
import resource
import sys

import otel_dify
from otel_dify import table as t
from otel_dify.export.delivery import lost
from otel_dify.operations.current import start

ITEMS, PASSES, LINES, FAILED = 10_000, 1_000, 100_000, 5
PROMPT = "word " * 10_000_000


def part(kind: t.Kind, number: int, prompt: str = "", error: str = "") -> None:
    """Run an item or a pass: a node that calls a model."""
    with_index = start(kind, {t.INDEX: number})
    with with_index.active():
        node = start(t.NODE, {t.NODE_TYPE: "llm", t.NODE_TITLE: "Summarise"})
        with node.active():
            call = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: "large"})
            call.set(t.INPUT_MESSAGES, [{"role": "user", "content": prompt or "short"}])
            if error:
                call.fail(error, "InvokeRateLimitError")
            call.end()
        node.end()
    with_index.end()


def container(kind: str, title: str, part_of: t.Kind, count: int) -> None:
    """Run a container, whose last parts fail."""
    node = start(t.NODE, {t.NODE_TYPE: kind, t.NODE_TITLE: title})
    with node.active():
        for number in range(count):
            error = f"429 {PROMPT}" if number >= count - FAILED else ""
            part(part_of, number, PROMPT if number == 0 else "", error)
    node.end()


def main() -> None:
    """Make the run and send it."""
    otel_dify.configure()
    log = logging.getLogger("large")
    log.setLevel(logging.INFO)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = start(t.RUN, {t.RUN_ID: f"run of {sys.argv[1]}", t.APP_ID: sys.argv[1]})
    with run.active():
        container("iteration", "Each", t.ITEM, ITEMS)
        container("loop", "Again", t.PASS, PASSES)
        for number in range(LINES):
            log.info("row %d", number)
        log.warning("the last")
    run.end()
    otel_dify.flush()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    told = {
        "trace": f"{run.span_context.trace_id:032x}",
        "lost": sum(lost().values()),
        "megabytes": grown / 1024,
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
