"""Runs with too many items and passes, on every version of the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from otel_dify import table as t
from tests.recording import Recording, recording
from tests.versions.graphs import Shape, run
from tests.versions.test_runs import over

SPANS, ITEMS = 30, 60


@pytest.fixture
def limited() -> Iterator[Recording]:
    """Record with a small limit."""
    with recording(OTEL_DIFY_RUN_SPANS=str(SPANS)) as made:
        yield made


def left_out(recorded: Recording, name: str) -> dict[str, Any]:
    known = recorded.attributes(name)
    return {
        key.removeprefix("dify.left_out."): value for key, value in known.items() if "left" in key
    }


@pytest.mark.parametrize("parallel", [False, True])
def test_items_that_are_too_many_are_left_out_whole(limited: Recording, *, parallel: bool) -> None:
    shape = over(4, parallel=parallel)
    ended = run(shape, {"items": [str(number) for number in range(ITEMS)]})

    assert ended.outputs["result"] == [f"<{number}>" for number in range(ITEMS)]
    names = Counter(span.name for span in limited.spans)
    kept = names["iteration item"]
    assert 0 < kept < ITEMS
    # Of four at once each may bring what lies in it.
    assert len(limited.spans) <= SPANS + 4 * 3 + 4
    assert names["template-transform first"] == names["template-transform second"] == kept
    assert names["end end"] == 1
    told = left_out(limited, "iteration each")
    assert told["item.count"] == ITEMS - kept
    assert told["node.count"] == 2 * (ITEMS - kept)
    assert limited.attributes("invoke_workflow")[t.LEFT_OUT_SPANS.key] == 3 * (ITEMS - kept)
    assert limited.total("dify.requests.total", type="node") == 2 * ITEMS + 3
    assert limited.attributes("invoke_workflow")[t.NODE_COUNT.key] == 2 * ITEMS + 3


def test_passes_that_are_too_many_are_left_out_whole(limited: Recording) -> None:
    shape = Shape().start().loop("again", ITEMS)
    shape.script("work", lambda _: {"output": "done"}, inside="again")
    shape.end().chain("start", "again", "end").chain("again-start", "work")
    run(shape)

    names = Counter(span.name for span in limited.spans)
    kept = names["loop pass"]
    assert kept == names["script work"] == (SPANS - 2) // 2
    told = left_out(limited, "loop again")
    assert told["pass.count"] == told["node.count"] == ITEMS - kept
    assert limited.total("dify.requests.total", type="node") == ITEMS + 3


def test_what_fails_in_an_item_that_was_left_out_is_there_in_its_place(
    limited: Recording,
) -> None:
    shape = Shape().start()
    shape.iteration(
        "each",
        ("start", "items"),
        output_selector=["work", "output"],
        error_handle_mode="continue-on-error",
    )

    def work(node: Any) -> Any:
        if node.pool.get(("each", "index")).value == ITEMS - 1:
            return node.failed()
        return {"output": "done"}

    shape.script("work", work, inside="each")
    shape.end().chain("start", "each", "end").chain("each-start", "work")
    run(shape, {"items": [str(number) for number in range(ITEMS)]})

    spans = {span.context.span_id: span for span in limited.spans}
    [failed] = [span for span in spans.values() if span.name == "script work" and _failed(span)]
    assert failed.parent is not None
    item = spans[failed.parent.span_id]
    assert item.name == "iteration item"
    assert dict(item.attributes or {})[t.INDEX.key] == ITEMS - 1
    assert item.parent is not None
    assert spans[item.parent.span_id].name == "iteration each"
    assert left_out(limited, "iteration each")["node.failed"] == 0
    assert limited.total("dify.errors.total", type="node") == 1


def _failed(span: Any) -> bool:
    return bool(span.status.status_code.name == "ERROR")
