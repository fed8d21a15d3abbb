"""Failures of nodes: where they are marked, what they are called, what recovers them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from inline_snapshot import snapshot

from otel_dify import table as t
from otel_dify.operations.current import current
from tests.recording import Recording
from tests.versions.graphs import FRAMES, RUN_ID, Shape, load, run

SHOWN = (t.RUN_STATUS, t.NODE_STATUS, t.INDEX, t.ERROR_TYPE, t.ERROR_MESSAGE)


def failing(times: int = 1_000) -> Callable[[Any], Any]:
    """Return work that fails so many times, as nodes do: with a result that names the error."""
    left = [times]
    completed = load("node_events", "StreamCompletedEvent")
    result = load("node_events.base", "NodeRunResult")

    def work(_node: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            failed = result(status="failed", error="out of order", error_type="TeapotError")
            yield completed(node_run_result=failed)
        else:
            yield completed(node_run_result=result(status="succeeded", outputs={"tea": "green"}))

    return work


def is_no_error(recorded: Recording) -> None:
    """Hold that a node that has recovered is no error, and tells all the same what it was."""
    assert recorded.points("dify.errors.total") == {}
    assert recorded.total("dify.requests.total", type="node", status="exception") == 1
    known = recorded.attributes("script boil")
    assert known[t.NODE_RECOVERED.key] == "TeapotError"
    assert known[t.ERROR_CATEGORY.key] == "internal"
    [event] = [e for e in recorded.events if e.attributes.get("dify.node.status") == "exception"]
    assert event.severity_text == "WARN"
    assert event.body.startswith("node boil (script) recovered from a failure in ")
    assert event.body.endswith(": out of order")


def around(**data: Any) -> Shape:
    """Put a failing node between start and end."""
    shape = Shape().start().script("boil", failing(), **data).end(tea=("boil", "tea"))
    return shape.chain("start", "boil", "end")


def test_a_failed_node_fails_its_run(recorded: Recording) -> None:
    ended = run(around())

    assert ended.status == "GraphRunFailedEvent"
    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow [ERROR] {workflow.status=failed, error.type=TeapotError, error.message=out of order}
  start start {node.status=succeeded}
  script boil [ERROR] {node.status=failed, error.type=TeapotError, error.message=out of order}\
""")


def test_an_exception_in_a_node_fails_its_run(recorded: Recording) -> None:
    def burst(_node: Any) -> Any:
        raise ZeroDivisionError("by nothing")

    run(Shape().start().script("burst", burst).end().chain("start", "burst", "end"))

    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow [ERROR] {workflow.status=failed, error.type=WorkflowNodeError, error.message=by nothing}
  start start {node.status=succeeded}
  script burst [ERROR] {node.status=failed, error.type=WorkflowNodeError, error.message=by nothing}\
""")


def test_a_failure_in_an_item_is_marked_at_the_item_and_above(recorded: Recording) -> None:
    shape = Shape().start()
    shape.iteration("each", ("start", "items"), output_selector=["boil", "tea"])
    shape.script("boil", failing(), inside="each").end()
    shape.chain("start", "each", "end").chain("each-start", "boil")

    ended = run(shape, {"items": ["a", "b"]})

    assert ended.status == "GraphRunFailedEvent"
    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow [ERROR] {workflow.status=failed, error.type=TeapotError, error.message=out of order}
  start start {node.status=succeeded}
  iteration each [ERROR] {node.status=failed, error.type=TeapotError, error.message=out of order}
    iteration item [ERROR] {node.index=0, error.type=TeapotError, error.message=out of order}
      script boil [ERROR] {node.status=failed, node.index=0, error.type=TeapotError, error.message=out of order}\
""")


def test_an_iteration_that_goes_on_after_errors_succeeds(recorded: Recording) -> None:
    shape = Shape().start()
    shape.iteration(
        "each",
        ("start", "items"),
        output_selector=["boil", "tea"],
        error_handle_mode="continue-on-error",
    )
    shape.script("boil", failing(1), inside="each").end(teas=("each", "output"))
    shape.chain("start", "each", "end").chain("each-start", "boil")

    ended = run(shape, {"items": ["a", "b"]})

    assert ended.outputs == {"teas": [None, "green"]}
    assert recorded.tree(*SHOWN[1:]) == snapshot("""\
invoke_workflow
  start start {node.status=succeeded}
  iteration each {node.status=succeeded}
    iteration item [ERROR] {node.index=0, error.type=TeapotError, error.message=out of order}
      script boil [ERROR] {node.status=failed, node.index=0, error.type=TeapotError, error.message=out of order}
    iteration item {node.index=1}
      script boil {node.status=succeeded, node.index=1}
  end end {node.status=succeeded}\
""")
    # Frames count what failed in them.
    expected = "partial-succeeded" if FRAMES else "succeeded"
    assert recorded.attributes("invoke_workflow")["dify.workflow.status"] == expected


def test_a_failure_in_a_pass_is_marked_at_the_pass_and_above(recorded: Recording) -> None:
    shape = Shape().start().loop("again", 3)
    shape.script("boil", failing(), inside="again").end()
    shape.chain("start", "again", "end").chain("again-start", "boil")

    run(shape)

    assert recorded.tree(*SHOWN) == snapshot("""\
invoke_workflow [ERROR] {workflow.status=failed, error.type=TeapotError, error.message=out of order}
  start start {node.status=succeeded}
  loop again [ERROR] {node.status=failed, error.type=TeapotError, error.message=out of order}
    loop pass [ERROR] {node.index=0, error.type=TeapotError, error.message=out of order}
      script boil [ERROR] {node.status=failed, node.index=0, error.type=TeapotError, error.message=out of order}\
""")


def test_retries_are_events_of_one_span(recorded: Recording) -> None:
    retry = {"max_retries": 3, "retry_interval": 1, "retry_enabled": True}
    shape = Shape().start().script("boil", failing(2), retry_config=retry)
    shape.end(tea=("boil", "tea")).chain("start", "boil", "end")

    ended = run(shape)

    assert ended.outputs == {"tea": "green"}
    assert recorded.tree(t.NODE_STATUS, t.NODE_RETRIES, t.ERROR_TYPE) == snapshot("""\
invoke_workflow
  start start {node.status=succeeded}
  script boil {node.status=succeeded, node.retry_count=2} !retry !retry
  end end {node.status=succeeded}\
""")
    events = [dict(event.attributes or {}) for event in recorded.span("script boil").events]
    assert events == snapshot(
        [
            {"dify.node.retry_index": 1, "dify.error.message": "out of order"},
            {"dify.node.retry_index": 2, "dify.error.message": "out of order"},
        ]
    )
    assert recorded.total("dify.node.retries") == 2
    assert recorded.total("dify.requests.total", type="node", node_type="script") == 1


def test_exhausted_retries_fail_the_node_once(recorded: Recording) -> None:
    retry = {"max_retries": 2, "retry_interval": 1, "retry_enabled": True}

    run(around(retry_config=retry))

    assert recorded.tree(t.NODE_STATUS, t.NODE_RETRIES, t.ERROR_TYPE) == snapshot("""\
invoke_workflow [ERROR] {error.type=TeapotError}
  start start {node.status=succeeded}
  script boil [ERROR] {node.status=failed, node.retry_count=2, error.type=TeapotError} !retry !retry\
""")
    assert recorded.total("dify.errors.total", type="node") == 1
    assert recorded.total("dify.errors.total", type="workflow") == 1


def test_a_fail_branch_recovers_the_run(recorded: Recording) -> None:
    shape = Shape().start().script("boil", failing(), error_strategy="fail-branch")
    shape.script("water", lambda _node: {"text": "water"})
    shape.end("end-tea", tea=("boil", "tea")).end("end-water", tea=("water", "text"))
    shape.chain("start", "boil").edge("boil", "end-tea", "success-branch")
    shape.edge("boil", "water", "fail-branch").chain("water", "end-water")

    ended = run(shape)

    assert ended.status == "GraphRunPartialSucceededEvent"
    assert ended.outputs == {"tea": "water"}
    assert recorded.tree(*SHOWN, t.EXCEPTIONS_COUNT) == snapshot("""\
invoke_workflow {workflow.status=partial-succeeded, workflow.exceptions_count=1}
  start start {node.status=succeeded}
  script boil {node.status=exception, error.message=out of order} !recovered
  script water {node.status=succeeded}
  end end-water {node.status=succeeded}\
""")
    is_no_error(recorded)


def test_a_default_value_recovers_the_run(recorded: Recording) -> None:
    default = [{"key": "tea", "type": "string", "value": "black"}]
    shape = around(error_strategy="default-value", default_value=default)

    ended = run(shape)

    assert ended.outputs == {"tea": "black"}
    assert recorded.tree(*SHOWN, t.EXCEPTIONS_COUNT) == snapshot("""\
invoke_workflow {workflow.status=partial-succeeded, workflow.exceptions_count=1}
  start start {node.status=succeeded}
  script boil {node.status=exception, error.message=out of order} !recovered
  end end {node.status=succeeded}\
""")
    is_no_error(recorded)


def test_what_the_engine_itself_logs_belongs_to_the_run(recorded: Recording) -> None:
    """It decides on failures in a thread of its own."""
    logged: list[tuple[str, Any]] = []

    class Looks(logging.Handler):
        """Looks what each record lies in."""

        def emit(self, record: logging.LogRecord) -> None:
            operation = current()
            known = None if operation is None else operation.get(t.RUN_ID)
            logged.append((record.getMessage(), known))

    looks = Looks(logging.WARNING)
    logging.getLogger("graphon").addHandler(looks)
    try:
        run(around())
    finally:
        logging.getLogger("graphon").removeHandler(looks)
    assert recorded.spans
    assert logged
    assert {known for _, known in logged} == {RUN_ID}
