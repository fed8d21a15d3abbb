"""Whatever fails on our side, the run is the one it would be without us."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from wrapt import FunctionWrapper

from otel_dify import guard
from tests.recording import Recording, recording
from tests.versions.fakes import LLM_DATA, TOOL_DATA, Models, Tools, ask, llm_extra, tool_extra
from tests.versions.graphs import FRAMES, Engine, Node, Script, Shape, load, run

# Where each of our functions on the way of a run is looked up.
_EVERYWHERE = [
    "operations.operation:Operation.set",
    "operations.operation:Operation.end",
    "operations.operation:Operation.fail",
    "operations.operation:Operation.happened",
    "records.recorder:Recorder.ended",
    "records.recorder:Recorder.started",
    "signals.events:EventWriter.ended",
    "signals.events:EventWriter.started",
    "signals.points:PointWriter.write",
    "signals.spans:SpanWriter.write",
    "sources.graphon.run:RunObserver.__init__",
    "sources.graphon.run:RunObserver._close",
    "sources.graphon.run:RunObserver.find",
    "sources.graphon.run:RunObserver.graph_ended",
    "sources.graphon.run:RunObserver.graph_event",
    "sources.graphon.run:RunObserver.graph_started",
    "sources.graphon.run:RunObserver.node_ended",
    "sources.graphon.run:RunObserver.node_event",
    "sources.graphon.run:RunObserver.node_started",
    "sources.graphon.run:RunObserver.open_nodes",
    "sources.graphon.nodes:Usage.add",
    "sources.graphon.nodes:Usage.take",
    "sources.graphon.nodes:Usage.write",
    "sources.graphon.run:describe",
    "sources.graphon.run:node_type",
    "sources.graphon.run:start",
    "sources.graphon.models:_Stream.__init__",
    "sources.graphon.models:_Stream.see",
    "sources.graphon.models:_argument",
    "sources.graphon.models:_request",
    "sources.graphon.models:_see_inputs",
    "sources.graphon.models:_see_result",
    "sources.graphon.models:_see_usage",
    "sources.graphon.models:start",
    "sources.graphon.tools:Messages.__init__",
    "sources.graphon.tools:Messages.see",
    "sources.graphon.tools:_ObservedRuntime.__init__",
    "sources.graphon.tools:_request",
    "sources.graphon.tools:start",
]
_HERE = (
    [
        "sources.graphon.frames:_Frame.__init__",
        "sources.graphon.frames:_Frame.end",
        "sources.graphon.frames:_Layer.__init__",
        "sources.graphon.frames:_Layer._open",
        "sources.graphon.frames:_Layer._start",
        "sources.graphon.frames:_is_container",
        "sources.graphon.frames:describe_run",
        "sources.graphon.frames:start",
    ]
    if FRAMES
    else [
        "sources.graphon.engine:_Layer.__init__",
        "sources.graphon.engine:_find",
        "sources.graphon.engine:_part_of",
        "sources.graphon.engine:describe_run",
    ]
)


class _BrokenError(Exception):
    """Ours, on purpose."""


def _break(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise _BrokenError(place)

    module, _, name = place.partition(":")
    owner: Any = import_module(f"otel_dify.{module}")
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    monkeypatch.setattr(owner, last, broken)


def everything() -> Shape:
    """Make a run of all there is: items, passes, calls of models and tools, a retry."""
    attempts = Counter[str]()
    models = Models()

    def flaky(node: Any) -> Any:
        attempts["flaky"] += 1
        spent = ask(models, stream=False).usage
        known = Script.succeeded if attempts["flaky"] > 1 else Script.failed
        return known(llm_usage=spent, outputs={"done": node.id})

    shape = Shape().start()
    shape.iteration("each", ("start", "items"), output_selector=["llm", "text"])
    shape.node("llm", "llm", inside="each", **LLM_DATA)
    shape.loop("again", 1).script("step", lambda _node: {"n": 1}, inside="again")
    shape.node("tool", "tool", **TOOL_DATA)
    retry = {"max_retries": 1, "retry_interval": 1, "retry_enabled": True}
    shape.script("flaky", flaky, retry_config=retry)
    shape.end(items=("each", "output"), text=("tool", "text"), done=("flaky", "done"))
    shape.chain("start", "each", "again", "tool", "flaky", "end")
    shape.chain("each-start", "llm").chain("again-start", "step")
    shape.extra |= {"llm": llm_extra(models), "tool": tool_extra(Tools("sun", "ny"))}
    return shape


def failing() -> Shape:
    """Make a run that fails in a pass."""

    def burst(_node: Any) -> Any:
        raise ValueError("no more")

    shape = Shape().start().loop("again", 1).script("burst", burst, inside="again").end()
    return shape.chain("start", "again", "end").chain("again-start", "burst")


def outcome(shape: Shape) -> Any:
    """Run a graph; tell what a host sees of it."""
    ended = run(shape, {"items": ["a"]})
    events = [(type(event).__name__, getattr(event, "node_id", "")) for event in ended.events]
    return ended.status, ended.outputs, ended.error, ended.tokens, events


@contextmanager
def detached() -> Iterator[None]:
    """Take our hooks off the classes of graphon, for a block."""
    classes = [Engine, Node, load("nodes.tool.tool_node", "ToolNode")]
    if not FRAMES:
        classes.append(load("runtime.graph_runtime_state", "GraphRuntimeState"))
    classes.append(type(llm_extra(Models())["model_instance"]._model))
    hooks = [
        (known, name, hook)
        for known in classes
        for name, hook in vars(known).items()
        if isinstance(hook, FunctionWrapper)
    ]
    assert len(hooks) >= 4
    for known, name, hook in hooks:
        setattr(known, name, hook.__wrapped__)
    try:
        yield
    finally:
        for known, name, hook in hooks:
            setattr(known, name, hook)


@cache
def _alone() -> list[Any]:
    with detached():
        return [outcome(everything()), outcome(failing())]


@pytest.mark.parametrize("shape", [everything, failing])
def test_a_watched_run_is_the_same_as_one_that_is_not(shape: Any) -> None:
    with detached():
        alone = outcome(shape())
    with recording() as recorded:
        watched = outcome(shape())

    assert len(recorded.spans) >= 5
    assert watched == alone


@pytest.mark.parametrize("place", [*_EVERYWHERE, *_HERE])
def test_a_broken_hook_changes_nothing_and_is_counted(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    alone = _alone()
    with recording(OTEL_DIFY_START_EVENTS="true"):
        _break(monkeypatch, place)
        broken = [outcome(everything()), outcome(failing())]
        failures = dict(guard.caught())
        guard.caught().clear()

    assert broken == alone
    assert {kind for _, kind in failures} == {"_BrokenError"}


def test_the_first_failure_of_a_kind_is_logged_and_the_others_are_counted(
    recorded: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    del recorded
    _break(monkeypatch, "sources.graphon.run:RunObserver.node_event")

    run(everything(), {"items": ["a", "b"]})
    count = guard.caught().total()
    guard.caught().clear()

    lines = [record for record in caplog.records if record.name == "otel_dify"]
    assert (len(lines), count > 5) == (1, True)
    assert "Dify goes on without this telemetry" in lines[0].getMessage()
