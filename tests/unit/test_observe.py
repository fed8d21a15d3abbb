"""``observe``: a span around anything, whatever it is and whatever it is told, or nothing at all."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context

import otel_dify
from otel_dify import observe
from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from tests.recording import Recording


@observe
def plain(value: int) -> int:
    """Do something."""
    return value + 1


@observe
async def coroutine(value: int) -> int:
    """Do something, asynchronously."""
    await asyncio.sleep(0)
    return value + 1


@observe
def generator(value: int) -> Generator[int]:
    """Give pieces."""
    yield value + 1


@observe
async def async_generator(value: int) -> AsyncGenerator[int]:
    """Give pieces, asynchronously."""
    yield value + 1


class Custom:
    """A class whose methods are observed."""

    @observe
    def method(self, value: int) -> int:
        """Belong to an instance."""
        return value + 1

    @classmethod
    @observe
    def of_class(cls, value: int) -> int:
        """Belong to a class."""
        return value + 1

    @staticmethod
    @observe
    def of_nothing(value: int) -> int:
        """Belong to nothing."""
        return value + 1

    @observe
    @classmethod
    def of_class_below(cls, value: int) -> int:
        """Belong to a class, the decorators the other way round."""
        assert cls is Custom
        return value + 1

    @observe
    @staticmethod
    def of_nothing_below(value: int) -> int:
        """Belong to nothing, the decorators the other way round."""
        return value + 1

    def __call__(self, value: int) -> int:
        """Be called itself."""
        return value + 1


def unobserved(more: int, value: int) -> int:
    """Do something that has another argument first."""
    return value + more


async def last_of(pieces: Any) -> Any:
    """Return the last piece."""
    return [piece async for piece in pieces][-1]


def finished(result: Any) -> Any:
    """Return what a function of any sort comes to."""
    if inspect.isawaitable(result):
        return asyncio.run(last_of_awaitable(result))
    if hasattr(result, "__anext__"):
        return asyncio.run(last_of(result))
    return list(result)[-1] if hasattr(result, "__next__") else result


async def last_of_awaitable(awaitable: Any) -> Any:
    """Wait for what can be waited for."""
    return await awaitable


SORTS: dict[str, Callable[[int], Any]] = {
    "plain": plain,
    "coroutine": coroutine,
    "generator": generator,
    "async_generator": async_generator,
    "Custom.method": Custom().method,
    "Custom.of_class": Custom.of_class,
    "Custom.of_nothing": Custom.of_nothing,
    "Custom.of_class_below": Custom.of_class_below,
    "Custom.of_nothing_below": Custom().of_nothing_below,
    "Custom": observe(Custom()),
    "unobserved": observe(partial(unobserved, 1)),
    "<lambda>": observe(lambda value: value + 1),
    "len": observe(len),  # type: ignore[arg-type] # called with a list below
}


@pytest.mark.parametrize("name", SORTS)
def test_without_parentheses_every_sort_of_function_is_named_by_its_qualified_name(
    recorded: Recording, name: str
) -> None:
    argument: Any = [1, 2] if name == "len" else 1
    assert finished(SORTS[name](argument)) == 2
    assert [span.name for span in recorded.spans] == [name]
    assert recorded.counts("dify.custom.duration", "status") == {"succeeded": 1}
    assert current() is None


@pytest.mark.parametrize("name", SORTS)
def test_without_telemetry_every_sort_of_function_is_called_and_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def made(*_: Any, **__: Any) -> None:
        raise AssertionError("an operation was made")

    monkeypatch.setattr(Operation, "__init__", made)
    argument: Any = [1, 2] if name == "len" else 1
    result = SORTS[name](argument)
    # The very generators of Python's.
    assert isinstance(result, int | types.GeneratorType | types.AsyncGeneratorType) or (
        inspect.iscoroutine(result)
    )
    assert finished(result) == 2


def test_without_telemetry_a_block_runs_and_nothing_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Operation, "__init__", lambda *_, **__: pytest.fail("made"))
    with observe("block", attributes={"a": object()}) as operation:
        operation.set_attribute("b", object())
        assert context_api.get_current() == Context()


def test_a_coroutine_function_stays_one() -> None:
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.iscoroutinefunction(observe("x")(coroutine))
    assert not inspect.iscoroutinefunction(plain)


def test_what_is_known_of_a_function_stays_known() -> None:
    assert plain.__name__ == "plain"
    assert plain.__doc__ == "Do something."
    assert list(inspect.signature(plain).parameters) == ["value"]


class Unprintable:
    """Cannot be written."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Deceiving:
    """Is a number, and fails as one."""

    def __float__(self) -> float:
        raise OverflowError("too much")


VALUES: tuple[object, ...] = (
    object(),
    Unprintable(),
    Deceiving(),
    [Unprintable()],
    lambda: None,
    {"a": object()},
    b"\xff",
    "\ud800",
    {1, 2},
    10**400,
    float("nan"),
    ValueError("x"),
    type,
    None,
    "",
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_an_attribute_may_be_any_value(recorded: Recording, value: object) -> None:
    @observe("decorated", attributes={"before": value, "after": 1})
    def work() -> None:
        pass

    work()
    with observe("block", attributes={"before": value, "after": 1}) as operation:
        operation.set_attribute("within", value)
        operation.set_attribute("then", 2)
    assert recorded.attributes("decorated")["after"] == 1
    known = recorded.attributes("block")
    assert (known["after"], known["then"]) == (1, 2)
    if value is not None:
        assert {"before", "within"} <= known.keys()
    for span in recorded.spans:
        span.to_json()


def test_calls_of_one_coroutine_that_overlap_are_operations_of_their_own(
    recorded: Recording,
) -> None:
    @observe("outer")
    async def outer(number: int) -> None:
        await asyncio.sleep(0)
        await inner(number)

    @observe("inner")
    async def inner(number: int) -> None:
        for _ in range(number):
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(outer(3), outer(1), outer(2))

    asyncio.run(both())
    assert recorded.tree() == "\n".join(["outer\n  inner"] * 3)


def test_a_coroutine_that_nobody_finishes_is_no_failure(
    recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    """It is closed wherever it is dropped: another context than the one that it has attached."""

    class Never:
        def __await__(self) -> Generator[None]:
            yield

    @observe("waits")
    async def waits() -> None:
        await Never()

    waiting = waits()
    contextvars.copy_context().run(waiting.send, None)
    del waiting
    assert current() is None
    start(t.RUN).end()
    assert "error.type" not in recorded.attributes("waits")
    assert "Failed to detach context" not in caplog.text


def test_a_coroutine_that_is_closed_leaves_no_context_behind(recorded: Recording) -> None:
    class Never:
        def __await__(self) -> Generator[None]:
            yield

    @observe("waits")
    async def waits() -> None:
        await Never()

    waiting = waits()
    waiting.send(None)
    waiting.close()
    assert current() is None
    assert recorded.tree() == "waits"


def test_an_exception_is_a_failure_and_goes_on_as_it_would_have(recorded: Recording) -> None:
    error = LookupError("no such customer")

    @otel_dify.observe("look up")
    def look_up() -> None:
        raise error

    with pytest.raises(LookupError) as raised:
        look_up()
    assert raised.value is error
    assert raised.traceback[-1].name == "look_up"
    assert recorded.attributes("look up")["error.type"] == "LookupError"
