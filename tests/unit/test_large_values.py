"""Values of any size: cut before anything is done with them, so that memory is bounded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.cleaning.content import LIMIT, Pieces
from otel_dify.cleaning.text import clean_value
from otel_dify.operations.current import start
from otel_dify.operations.operation import Operation
from tests.recording import Recording, recording

MANY = 50_000_000
LARGE = "wört 'x' 1 " * (MANY // 11)
"""Not ASCII, with quotes and numbers: what messages are compared by is made without them."""
MOST = 8_000_000
"""Bytes that may be allocated meanwhile."""


class Model:
    """Stands for a pydantic model."""

    def __init__(self, value: object) -> None:
        self.value = value

    def model_dump(self, mode: str) -> dict[str, object]:
        """Open it up."""
        return {"value": self.value, "mode": mode}


@contextmanager
def bounded() -> Iterator[None]:
    """Fail where a block allocates much."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def fail(operation: Operation) -> None:
    operation.fail(LARGE, "InvokeError")


def fail_by_exception(operation: Operation) -> None:
    operation.fail(ValueError(LARGE))


def fail_by_a_cause(operation: Operation) -> None:
    error = RuntimeError("outer")
    error.__cause__ = ValueError(LARGE)
    operation.fail(error)


def recover(operation: Operation) -> None:
    operation.recover(LARGE, "InvokeError")


def say(operation: Operation) -> None:
    operation.set(t.INPUT_MESSAGES, [{"role": "user", "content": LARGE}])


def say_later(operation: Operation) -> None:
    operation.set(t.OUTPUT_MESSAGES, lambda: [{"role": "assistant", "content": LARGE}])


def give_other(operation: Operation) -> None:
    operation.set_other("theirs", LARGE)


def name(operation: Operation) -> None:
    operation.set(t.NODE_TITLE, LARGE)


@pytest.mark.parametrize("content", ["no_content", "span_and_event"])
@pytest.mark.parametrize(
    "give",
    [fail, fail_by_exception, fail_by_a_cause, recover, say, say_later, give_other, name],
)
def test_a_text_of_50_mb_is_cut_first(content: str, give: Callable[[Operation], None]) -> None:
    with recording(content) as recorded, bounded():
        run = start(t.RUN)
        with run.active():
            node = start(t.NODE, {t.NODE_TYPE: "llm"})
            give(node)
            node.end()
        if node.failed:
            run.fail(f"outer: {LARGE[:100]}")
        run.end()
    assert all(len(text) < LIMIT + 100 for text in _texts(recorded))


def _texts(recorded: Recording) -> Iterator[str]:
    for span in recorded.spans:
        yield from (v for v in dict(span.attributes or {}).values() if isinstance(v, str))
        for event in span.events:
            yield from (v for v in dict(event.attributes or {}).values() if isinstance(v, str))
    for record in recorded.events:
        yield str(record.body)
        yield from (value for value in record.attributes.values() if isinstance(value, str))


@pytest.mark.parametrize("outer", [list, Model])
def test_objects_beyond_the_limit_are_not_opened(outer: Callable[[Any], Any]) -> None:
    opened = []

    class Counted(Model):
        def model_dump(self, mode: str) -> dict[str, object]:
            opened.append(1)
            return super().model_dump(mode)

    with recording("span_only") as recorded:
        call = start(t.MODEL_CALL, {t.OPERATION_NAME: "chat"})
        call.set(t.OUTPUT_MESSAGES, outer([Counted("x" * 1000) for _ in range(10_000)]))
        call.end()
    assert len(opened) <= LIMIT // 1000 + 1
    [text] = [str(recorded.attributes("chat")[t.OUTPUT_MESSAGES.key])]
    assert "x" * 1000 in text
    assert len(text) < LIMIT + 100


def test_a_list_is_cut_as_a_whole() -> None:
    value = clean_value(["word"] * 1_000_000, 1000)
    assert isinstance(value, tuple)
    assert sum(map(len, value)) < 1100
    assert value[-1] == f"… ({1_000_000 - len(value) + 1} more)"


def test_a_list_within_the_limit_is_whole() -> None:
    assert clean_value(["one", 2, None], 1000) == ("one", "2", "None")


def test_of_an_answer_in_pieces_no_more_is_kept_than_is_sent() -> None:
    pieces = Pieces()
    for _ in range(100_000):
        pieces.add("a word ")
    pieces.add({"an": "object"})
    assert LIMIT <= sum(len(str(piece)) for piece in pieces.all) < LIMIT + 7


def test_the_same_failure_is_told_by_the_beginning_of_a_large_message(
    recorded: Recording,
) -> None:
    run = start(t.RUN)
    with run.active():
        node = start(t.NODE, {t.NODE_TYPE: "llm"})
        node.fail(LARGE, "InvokeRateLimitError")
        node.end()
    run.fail(f"node failed: {LARGE}", "WorkflowError")
    run.end()
    assert recorded.attributes("invoke_workflow")[t.ERROR_TYPE.key] == "InvokeRateLimitError"
