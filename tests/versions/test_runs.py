"""Runs of the engine as span trees, the same on every version of graphon."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot
from opentelemetry import trace

from otel_dify import table as t
from otel_dify.operations.current import current, start
from tests.recording import Recording, by_item
from tests.versions.graphs import FRAMES, GRAPHON, RUN_ID, Shape, drain, engine, load, run, state_of

DEADLINE_S = 30.0


def text(node: str, template: str, /, **variables: tuple[str, str]) -> dict[str, Any]:
    return {
        "name": node,
        "kind": "template-transform",
        "template": template,
        "variables": [
            {"variable": variable, "value_selector": list(selector)}
            for variable, selector in variables.items()
        ],
    }


def greeting() -> Shape:
    shape = Shape().start().node(**text("hello", "Hello {{ name }}", name=("start", "name")))
    return shape.end(text=("hello", "output")).chain("start", "hello", "end")


def over(count: int, *, parallel: bool = False, **data: Any) -> Shape:
    """Iterate over ``start.items`` with two nodes in each item."""
    shape = Shape().start()
    shape.iteration(
        "each",
        ("start", "items"),
        output_selector=["second", "output"],
        is_parallel=parallel,
        parallel_nums=count,
        **data,
    )
    shape.node(**text("first", "<{{ item }}", item=("each", "item")), inside="each")
    shape.node(**text("second", "{{ first }}>", first=("first", "output")), inside="each")
    shape.end(result=("each", "output"))
    return shape.chain("start", "each", "end").chain("each-start", "first", "second")


def test_nodes_lie_below_their_run_in_order(recorded: Recording) -> None:
    ended = run(greeting(), {"name": "Ada"})

    assert ended.outputs == {"text": "Hello Ada"}
    assert recorded.tree(t.RUN_STATUS, t.NODE_STATUS) == snapshot("""\
invoke_workflow {workflow.status=succeeded}
  start start {node.status=succeeded}
  template-transform hello {node.status=succeeded}
  end end {node.status=succeeded}\
""")


def test_every_node_carries_the_ids_of_its_run(recorded: Recording) -> None:
    run(greeting(), {"name": "Ada"})

    for span in recorded.spans:
        known = dict(span.attributes or {})
        assert known["dify.workflow.run_id"] == RUN_ID
        assert known["dify.workflow.id"] == "workflow-1"
        assert known["dify.tenant_id"] == "tenant-1"
        assert known["dify.app_id"] == "app-1"
        assert known["user.id"] == "user-1"
        assert known["dify.invoke_from"] == "debugger"
    [hello] = [span for span in recorded.spans if span.name == "template-transform hello"]
    assert dict(hello.attributes or {})["dify.node.id"] == "hello"


def test_what_a_node_does_lies_in_its_span_and_nothing_else_does(recorded: Recording) -> None:
    """So that its log lines, queries and HTTP calls carry its ids, and the host's do not."""

    def look(_node: Any) -> dict[str, Any]:
        return {"span": trace.get_current_span().get_span_context().span_id}

    shape = Shape().start().script("look", look).script("again", look)
    shape.end(first=("look", "span"), second=("again", "span"))
    made = engine(shape.chain("start", "look", "again", "end"))

    seen_by_host = {trace.get_current_span() for _ in made.run()}

    assert seen_by_host == {trace.INVALID_SPAN}
    ids = {span.name: span.context.span_id for span in recorded.spans}
    outputs = state_of(made).outputs
    assert outputs == {"first": ids["script look"], "second": ids["script again"]}


def test_skipped_branches_have_no_spans(recorded: Recording) -> None:
    shape = Shape().start()
    condition = {"comparison_operator": "is", "variable_selector": ["start", "name"]}
    shape.node(
        "which",
        "if-else",
        cases=[
            {
                "case_id": "ada",
                "logical_operator": "and",
                "conditions": [{**condition, "value": "Ada"}],
            }
        ],
    )
    shape.node(**text("yes", "yes")).node(**text("no", "no"))
    shape.end("end-yes", text=("yes", "output")).end("end-no", text=("no", "output"))
    shape.chain("start", "which").edge("which", "yes", "ada").edge("which", "no", "false")
    shape.chain("yes", "end-yes").chain("no", "end-no")

    ended = run(shape, {"name": "Bob"})

    assert ended.outputs == {"text": "no"}
    assert recorded.tree() == snapshot("""\
invoke_workflow
  start start
  if-else which
  template-transform no
  end end-no\
""")


def test_parallel_branches_lie_side_by_side(recorded: Recording) -> None:
    both = threading.Barrier(2, timeout=10)
    shape = Shape().start()
    for name in ("left", "right"):
        shape.script(name, lambda _node: {"parties": both.wait() * 0 + 2})
    shape.end(left=("left", "parties"), right=("right", "parties"))
    shape.chain("start", "left", "end").chain("start", "right", "end")

    ended = run(shape)

    assert ended.outputs == {"left": 2, "right": 2}
    assert recorded.tree(order=by_item) == snapshot("""\
invoke_workflow
  end end
  script left
  script right
  start start\
""")


def test_items_of_an_iteration_lie_below_it(recorded: Recording) -> None:
    ended = run(over(2), {"items": ["a", "b"]})

    assert ended.outputs == {"result": ["<a>", "<b>"]}
    assert recorded.tree(t.ITERATION_ID, t.INDEX) == snapshot("""\
invoke_workflow
  start start
  iteration each
    iteration item {node.iteration_id=each, node.index=0}
      template-transform first {node.iteration_id=each, node.index=0}
      template-transform second {node.iteration_id=each, node.index=0}
    iteration item {node.iteration_id=each, node.index=1}
      template-transform first {node.iteration_id=each, node.index=1}
      template-transform second {node.iteration_id=each, node.index=1}
  end end\
""")


def test_parallel_items_keep_their_own_nodes(recorded: Recording) -> None:
    all_at_once = threading.Barrier(3, timeout=10)
    shape = over(3, parallel=True)

    def meet(node: Any) -> dict[str, Any]:
        all_at_once.wait()
        operation = current()
        assert operation is not None
        index = node.pool.get(("each", "index")).value
        assert operation.get(t.INDEX) == index
        return {"output": f"<{index}"}

    shape.nodes = [node for node in shape.nodes if node["id"] != "first"]
    shape.script("first", meet, inside="each")

    ended = run(shape, {"items": ["a", "b", "c"]})

    assert ended.outputs == {"result": ["<0>", "<1>", "<2>"]}
    assert recorded.tree(t.ITERATION_ID, t.INDEX, order=by_item) == snapshot("""\
invoke_workflow
  end end
  iteration each
    iteration item {node.iteration_id=each, node.index=0}
      script first {node.iteration_id=each, node.index=0}
      template-transform second {node.iteration_id=each, node.index=0}
    iteration item {node.iteration_id=each, node.index=1}
      script first {node.iteration_id=each, node.index=1}
      template-transform second {node.iteration_id=each, node.index=1}
    iteration item {node.iteration_id=each, node.index=2}
      script first {node.iteration_id=each, node.index=2}
      template-transform second {node.iteration_id=each, node.index=2}
  start start\
""")


def test_executions_are_counted_with_those_in_containers(recorded: Recording) -> None:
    run(over(2), {"items": ["a", "b"]})

    # Start, iteration and end, and two templates for each item.
    assert recorded.attributes("invoke_workflow")["dify.workflow.node_count"] == 3 + 2 * 2


def test_an_iteration_in_an_iteration_nests(recorded: Recording) -> None:
    shape = Shape().start()
    shape.iteration("rows", ("start", "rows"), output_selector=["cells", "output"])
    shape.iteration("cells", ("rows", "item"), inside="rows", output_selector=["cell", "output"])
    shape.node(**text("cell", "[{{ item }}]", item=("cells", "item")), inside="cells")
    shape.end(result=("rows", "output"))
    shape.chain("start", "rows", "end").chain("rows-start", "cells").chain("cells-start", "cell")

    ended = run(shape, {"rows": [["a", "b"], ["c"]]})

    assert ended.outputs == {"result": ["[a]", "[b]", "[c]"]}
    assert recorded.tree(t.ITERATION_ID, t.INDEX) == snapshot("""\
invoke_workflow
  start start
  iteration rows
    iteration item {node.iteration_id=rows, node.index=0}
      iteration cells {node.iteration_id=rows, node.index=0}
        iteration item {node.iteration_id=cells, node.index=0}
          template-transform cell {node.iteration_id=cells, node.index=0}
        iteration item {node.iteration_id=cells, node.index=1}
          template-transform cell {node.iteration_id=cells, node.index=1}
    iteration item {node.iteration_id=rows, node.index=1}
      iteration cells {node.iteration_id=rows, node.index=1}
        iteration item {node.iteration_id=cells, node.index=0}
          template-transform cell {node.iteration_id=cells, node.index=0}
  end end\
""")


def test_passes_of_a_loop_are_numbered_until_it_breaks(recorded: Recording) -> None:
    shape = Shape().start()
    shape.loop(
        "again",
        10,
        break_conditions=[
            {
                "variable_selector": ["again", "count"],
                "comparison_operator": "≥",
                "value": "3",
            }
        ],
        loop_variables=[
            {"label": "count", "var_type": "number", "value_type": "constant", "value": 0}
        ],
    )
    events = load("node_events", "VariableUpdatedEvent")
    completed = load("node_events", "StreamCompletedEvent")
    result = load("node_events.base", "NodeRunResult")

    def count(node: Any) -> Any:
        variable = node.pool.get(("again", "count"))
        bigger = variable.model_copy(update={"value": variable.value + 1})
        yield events(variable=bigger)
        yield completed(node_run_result=result(status="succeeded", outputs={"n": bigger.value}))

    shape.script("count", count, inside="again")
    shape.end().chain("start", "again", "end").chain("again-start", "count")

    ended = run(shape)

    assert ended.status == "GraphRunSucceededEvent"
    assert recorded.tree(t.LOOP_ID, t.INDEX) == snapshot("""\
invoke_workflow
  start start
  loop again
    loop pass {node.loop_id=again, node.index=0}
      script count {node.loop_id=again, node.index=0}
    loop pass {node.loop_id=again, node.index=1}
      script count {node.loop_id=again, node.index=1}
    loop pass {node.loop_id=again, node.index=2}
      script count {node.loop_id=again, node.index=2}
  end end\
""")


def test_an_aborted_run_is_stopped_and_not_failed(recorded: Recording) -> None:
    made: list[Any] = []
    shape = Shape().start().script("stop", lambda _node: made[0].request_abort("enough") or {})
    # Whether a node after it still starts is the engine's luck.
    shape.end().chain("start", "stop", "end")
    made.append(engine(shape))

    ended = drain(made[0])

    assert ended.status == "GraphRunAbortedEvent"
    assert recorded.tree(t.RUN_STATUS, t.NODE_STATUS).splitlines()[:3] == snapshot(
        [
            "invoke_workflow {workflow.status=stopped}",
            "  start start {node.status=succeeded}",
            "  script stop {node.status=succeeded}",
        ]
    )


def pausing(*, resumed: Callable[[], bool]) -> Shape:
    """Pause at the second node, as a human-input node does."""
    requested = load("node_events", "PauseRequestedEvent")
    reason = load("entities.pause_reason", "SchedulingPause")
    completed = load("node_events", "StreamCompletedEvent")
    result = load("node_events.base", "NodeRunResult")

    def ask(_node: Any) -> Any:
        if resumed():
            yield completed(node_run_result=result(status="succeeded", outputs={"said": "yes"}))
        else:
            yield requested(reason=reason(message="wait"))

    shape = Shape().start().script("ask", ask).end(said=("ask", "said"))
    return shape.chain("start", "ask", "end")


# graphon 0.1's own use of pydantic.
@pytest.mark.filterwarnings("ignore:`pydantic_encoder` is deprecated")
def test_a_paused_run_is_resumed_by_another_engine(recorded: Recording) -> None:
    answered = False
    shape = pausing(resumed=lambda: answered)

    paused = run(shape)
    first = recorded.tree(t.RUN_STATUS, t.RUN_RESUMED, t.NODE_STATUS)
    recorded.clear()
    answered = True
    counted = recorded.points("dify.requests.total")
    ended = drain(engine(shape, snapshot=state_of(paused.engine).dumps()))

    assert paused.status == "GraphRunPausedEvent"
    assert [dict(point)["node_type"] for point in counted] == ["start"]
    assert recorded.total("dify.requests.total", type="workflow", status="succeeded") == 1
    assert recorded.total("dify.requests.total", type="node", node_type="script") == 1
    assert recorded.total("dify.workflow.pauses.total", app_id="app-1") == 1
    assert first == snapshot("""\
invoke_workflow {workflow.status=paused}
  start start {node.status=succeeded}
  script ask {node.status=paused}\
""")
    assert ended.outputs == {"said": "yes"}
    assert recorded.tree(t.RUN_STATUS, t.RUN_RESUMED, t.NODE_STATUS) == snapshot("""\
invoke_workflow {workflow.status=succeeded, workflow.resumed=True}
  script ask {node.status=succeeded}
  end end {node.status=succeeded}\
""")
    assert {dict(span.attributes or {})["dify.workflow.run_id"] for span in recorded.spans} == {
        RUN_ID
    }


# Engines before 0.5 wait for their nodes however long; one of 0.8 makes no others for containers.
if (0, 5) <= GRAPHON < (0, 8):

    def test_items_that_begin_after_their_run_has_ended_are_no_runs(recorded: Recording) -> None:
        """An engine that is stopped waits only so long for a node that works."""
        made: list[Any] = []
        ended, went_on = threading.Event(), threading.Event()

        def work(_node: Any) -> dict[str, Any]:
            if ended.is_set():
                went_on.set()
            made[0].request_abort("enough")
            assert ended.wait(DEADLINE_S)
            return {"said": "yes"}

        shape = Shape().start()
        shape.iteration("each", ("start", "items"), output_selector=["work", "said"])
        shape.script("work", work, inside="each").end(said=("each", "output"))
        shape.chain("start", "each", "end").chain("each-start", "work")
        made.append(engine(shape, {"items": ["a", "b"]}))
        drain(made[0])
        before = threading.enumerate()
        ended.set()
        assert went_on.wait(DEADLINE_S)
        for thread in before:
            if thread.name.startswith("Graph"):
                thread.join(DEADLINE_S)

        assert recorded.total("dify.requests.total", type="workflow") == 1
        runs = [span for span in recorded.spans if span.name.startswith("invoke_workflow")]
        assert len(runs) == 1


if FRAMES:  # engines before it cannot pause inside a container

    def test_an_iteration_goes_on_after_a_pause_in_one_of_its_items(recorded: Recording) -> None:
        answered = False
        pausing_node = pausing(resumed=lambda: answered).work["ask"]
        shape = Shape().start()
        shape.iteration("each", ("start", "items"), output_selector=["ask", "said"])
        shape.script("ask", pausing_node, inside="each").end(said=("each", "output"))
        shape.chain("start", "each", "end").chain("each-start", "ask")

        paused = run(shape, {"items": ["a", "b"]})
        first = recorded.tree(t.NODE_STATUS, t.INDEX)
        recorded.clear()
        answered = True
        ended = drain(engine(shape, snapshot=state_of(paused.engine).dumps()))

        assert first == snapshot("""\
invoke_workflow
  start start {node.status=succeeded}
  iteration each {node.status=paused}
    iteration item {node.index=0}
      script ask {node.status=paused, node.index=0}\
""")
        assert ended.outputs == {"said": ["yes", "yes"]}
        assert recorded.tree(t.RUN_RESUMED, t.NODE_STATUS, t.INDEX) == snapshot("""\
invoke_workflow {workflow.resumed=True}
  script ask {node.status=succeeded}
  iteration each {node.status=succeeded}
    iteration item {node.index=1}
      script ask {node.status=succeeded, node.index=1}
  end end {node.status=succeeded}\
""")


def test_a_run_nests_below_the_request_that_started_it(recorded: Recording) -> None:
    request = start(t.REQUEST, {t.HTTP_METHOD: "POST", t.HTTP_ROUTE: "/v1/workflows/run"})
    with request.active():
        run(greeting(), {"name": "Ada"})
    request.end()

    assert recorded.tree(t.RUN_ID) == snapshot("""\
POST /v1/workflows/run {workflow.run_id=5f0f7a52-0000-4000-8000-000000000001}
  invoke_workflow {workflow.run_id=5f0f7a52-0000-4000-8000-000000000001}
    start start {workflow.run_id=5f0f7a52-0000-4000-8000-000000000001}
    template-transform hello {workflow.run_id=5f0f7a52-0000-4000-8000-000000000001}
    end end {workflow.run_id=5f0f7a52-0000-4000-8000-000000000001}\
""")


def test_a_run_nests_where_it_is_started_not_where_its_engine_was_made(
    recorded: Recording,
) -> None:
    made = engine(greeting(), {"name": "Ada"})
    request = start(t.REQUEST, {t.HTTP_METHOD: "POST"})
    with request.active():
        drain(made)
    request.end()

    assert [span.parent is None for span in recorded.spans] == [True, False, False, False, False]


def test_runs_at_the_same_time_keep_apart(recorded: Recording) -> None:
    together = threading.Barrier(4, timeout=10)

    def meet(_node: Any) -> dict[str, Any]:
        together.wait()
        operation = current()
        assert operation is not None
        return {"run": operation.get(t.RUN_ID)}

    shape = Shape().start().script("meet", meet).end(run=("meet", "run"))
    shape.chain("start", "meet", "end")
    outputs: dict[str, Any] = {}

    def one(run_id: str) -> None:
        outputs[run_id] = run(shape, run_id=run_id).outputs

    threads = [threading.Thread(target=one, args=(f"run-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert outputs == {f"run-{n}": {"run": f"run-{n}"} for n in range(4)}
    traces: dict[int, set[object]] = {}
    for span in recorded.spans:
        known = dict(span.attributes or {})
        traces.setdefault(span.context.trace_id, set()).add(known["dify.workflow.run_id"])
    assert sorted(traces.values(), key=str) == [{f"run-{n}"} for n in range(4)]


def test_a_run_that_nobody_consumes_to_its_end_is_stopped(recorded: Recording) -> None:
    events = engine(greeting(), {"name": "Ada"}).run()
    next(events)
    events.close()

    assert recorded.span("invoke_workflow").attributes is not None
    assert dict(recorded.span("invoke_workflow").attributes or {})["dify.workflow.status"] == (
        "stopped"
    )


@pytest.mark.parametrize("parallel", [False, True])
def test_many_items_end_once_each(recorded: Recording, *, parallel: bool) -> None:
    items = [str(number) for number in range(20)]

    run(over(5, parallel=parallel), {"items": items})

    names = [span.name for span in recorded.spans]
    assert names.count("iteration item") == 20
    assert names.count("template-transform first") == 20
    assert len({span.context.span_id for span in recorded.spans}) == len(names) == 64
