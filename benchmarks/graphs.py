"""The graphs that the engine is measured with, run by the examples' host.

Their nodes do next to nothing, so that what is around a node is what takes the time. There are two
lengths of each shape: the difference between them is that of the nodes, or items, alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from examples.host.apps import App
from examples.host.engine import Run
from examples.host.provider import OpenAIRuntime

SHORT, LONG = 2, 42
"""Nodes of the chains, items of the iterations: short and long."""

_NO_MODELS = OpenAIRuntime("http://127.0.0.1:9", "none")


def _aggregator(name: str, source: list[str], **more: Any) -> dict[str, Any]:
    """Make a node that passes a variable on."""
    data = {
        "type": "variable-aggregator",
        "title": name,
        "output_type": "string",
        "variables": [source],
        **more,
    }
    return {"id": name, "data": data}


def _app(name: str, nodes: list[dict[str, Any]], chains: list[list[str]]) -> App:
    edges = [
        {
            "id": f"{source}-{target}",
            "source": source,
            "target": target,
            "sourceHandle": "source",
            "targetHandle": "target",
        }
        for chain in chains
        for source, target in pairwise(chain)
    ]
    return App(name, {"nodes": nodes, "edges": edges}, {})


def _start() -> dict[str, Any]:
    return {"id": "start", "data": {"type": "start", "title": "start", "variables": []}}


def _end(source: list[str], kind: str) -> dict[str, Any]:
    output = {"variable": "out", "value_type": kind, "value_selector": source}
    return {"id": "end", "data": {"type": "end", "title": "end", "outputs": [output]}}


def chain(length: int) -> App:
    """Make a graph of nodes one after the other, between its start and its end."""
    names = [f"node{index}" for index in range(length)]
    sources = [["start", "text"], *([name, "output"] for name in names)]
    nodes = [_aggregator(name, source) for name, source in zip(names, sources, strict=False)]
    return _app(
        f"chain {length}",
        [_start(), *nodes, _end(sources[-1], "string")],
        [["start", *names, "end"]],
    )


def iteration(items: int) -> App:
    """Make a graph of an iteration over some items, with one node inside."""
    each = {
        "id": "each",
        "data": {
            "type": "iteration",
            "title": "each",
            "start_node_id": "eachstart",
            "iterator_selector": ["start", "items"],
            "iterator_input_type": "array[string]",
            "output_selector": ["inner", "output"],
            "output_type": "array[string]",
            "is_parallel": False,
            "error_handle_mode": "terminated",
            "flatten_output": False,
        },
    }
    first = {
        "id": "eachstart",
        "data": {"type": "iteration-start", "title": "", "iteration_id": "each"},
    }
    inner = _aggregator("inner", ["each", "item"], iteration_id="each")
    return _app(
        f"iteration {items}",
        [_start(), each, first, inner, _end(["each", "output"], "array[string]")],
        [["start", "each", "end"], ["eachstart", "inner"]],
    )


def loop(passes: int) -> App:
    """Make a graph of a loop of some passes, with one node inside."""
    each = {
        "id": "each",
        "data": {
            "type": "loop",
            "title": "each",
            "start_node_id": "eachstart",
            "loop_count": passes,
            "break_conditions": [],
            "logical_operator": "and",
            "loop_variables": [],
            "outputs": {},
        },
    }
    first = {"id": "eachstart", "data": {"type": "loop-start", "title": "", "loop_id": "each"}}
    inner = _aggregator("inner", ["start", "text"], loop_id="each")
    return _app(
        f"loop {passes}",
        [_start(), each, first, inner, _end(["start", "text"], "string")],
        [["start", "each", "end"], ["eachstart", "inner"]],
    )


GRAPHS = {
    "short chain": chain(SHORT),
    "long chain": chain(LONG),
    "short iteration": iteration(SHORT),
    "long iteration": iteration(LONG),
}
_ITEMS = {f"iteration {count}": count for count in (SHORT, LONG)}


def run(app: App) -> int:
    """Run a graph of ``GRAPHS`` to its end; return how many nodes the engine told of."""
    items = [f"item {number}" for number in range(_ITEMS.get(app.name, 0))]
    return run_with(app, {"text": "some text", "items": items})


def run_with(app: App, inputs: Mapping[str, Any]) -> int:
    """Run a graph to its end; return how many node executions the engine told of.

    Raises:
        RuntimeError: it did not succeed.
    """
    told, last = 0, ""
    for event in Run(app, inputs, "bench", _NO_MODELS).events():
        last = type(event).__name__
        told += last == "NodeRunStartedEvent"
    if last != "GraphRunSucceededEvent":
        raise RuntimeError(f"{app.name} ended with {last}")
    return told
