"""Runs of the engine as span trees, the same on every version of graphon."""

from __future__ import annotations

from typing import Any

from graphs import Shape, run
from inline_snapshot import snapshot
from recording import Recording

from otel_dify.operations import attributes as a


def greeting() -> Shape:
    shape = Shape().start()
    shape.node(
        "hello",
        "template-transform",
        template="Hello {{ name }}",
        variables=[{"variable": "name", "value_selector": ["start", "name"]}],
    )
    return shape.end(text=("hello", "output")).chain("start", "hello", "end")


def test_nodes_lie_below_their_run_in_order(recorded: Recording) -> None:
    ended = run(greeting(), {"name": "Ada"})

    assert ended.outputs == {"text": "Hello Ada"}
    assert recorded.tree(a.RUN_STATUS, a.NODE_STATUS) == snapshot()
