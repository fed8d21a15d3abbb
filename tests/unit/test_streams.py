"""Observed generators are the generators that they were, and dropping one touches nothing."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode

from otel_dify import observe
from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from otel_dify.process import process
from otel_dify.sources.streams import ObservedStream
from tests.recording import Recording, recording, recording_by

DEADLINE = 30.0
"""Seconds after which a thread that should have ended is taken to hang."""

# What a generator does at one of its yields, if something happens there.
REACTIONS = ("goes on", "raises", "replaces", "returns", "stops", "refuses", "fails to close")
# What its consumer does with it.
CALLS = ("next", "send", "send nothing", "throw", "throw a stop", "throw an exit", "close")


def answers(plan: Sequence[str], log: list[str]) -> Generator[Any, Any, Any]:  # noqa: C901 - one place for all reactions
    """Yield what was sent last, once for each reaction, and react as planned."""
    got: Any = None
    for number, reaction in enumerate(plan):
        try:
            got = yield number, got
        except ValueError as error:
            log.append(f"{number} {error}")
            if reaction == "raises":
                raise
            if reaction == "replaces":
                raise LookupError(number) from error
            if reaction == "returns":
                return "early"
        except GeneratorExit:
            log.append(f"{number} closed")
            if reaction == "refuses":
                yield "no"
            if reaction == "fails to close":
                raise LookupError(number) from None
            raise
        finally:
            # What has refused to be closed is left when it is freed, and that is any time.
            if reaction != "refuses":
                log.append(f"{number} left")
        if reaction == "stops":
            raise StopIteration(number)  # noqa: PLR1708 - what becomes of it is compared
    return "whole", got


async def async_answers(plan: Sequence[str], log: list[str]) -> AsyncGenerator[Any, Any]:  # noqa: C901 - the same
    """Do the same, asynchronously."""
    got: Any = None
    for number, reaction in enumerate(plan):
        try:
            got = yield number, got
        except ValueError as error:
            log.append(f"{number} {error}")
            if reaction == "raises":
                raise
            if reaction == "replaces":
                raise LookupError(number) from error
            if reaction == "returns":
                return
        except GeneratorExit:
            log.append(f"{number} closed")
            if reaction == "refuses":
                yield "no"
            if reaction == "fails to close":
                raise LookupError(number) from None
            raise
        finally:
            # What has refused to be closed is left when it is freed, and that is any time.
            if reaction != "refuses":
                log.append(f"{number} left")
        if reaction == "stops":
            raise StopAsyncIteration(number)


def delegates(inner: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Hand everything on, both ways (PEP 380)."""
    result = yield from inner
    return "delegated", result


def run[R](awaitable: Awaitable[R]) -> R:
    """Run what waits for nothing."""
    steps = awaitable.__await__()
    try:
        next(steps)
    except StopIteration as done:
        result: R = done.value
        return result
    raise AssertionError("it waits")


def run_of(step: Callable[[], Awaitable[Any]]) -> Any:
    """Take a step that waits for nothing."""
    return run(step())


def outcome(step: Callable[[], Any], thrown: BaseException | None) -> tuple[Any, ...]:
    """Tell what a step returned or raised."""
    try:
        return "returned", step()
    except BaseException as error:  # noqa: BLE001 - all of them are told
        cause = error.__cause__
        return "raised", type(error), error.args, error is thrown, type(cause), str(cause)
    finally:
        if thrown is not None:
            # It would hold the generator by the frames that it has passed.
            thrown.__traceback__ = None


def thrown_by(call: str) -> BaseException | None:
    """Make the exception that a call throws, if it throws one."""
    made: dict[str, BaseException] = {
        "throw": ValueError("thrown"),
        "throw a stop": StopIteration("thrown"),
        "throw an exit": GeneratorExit("thrown"),
    }
    return made.get(call)


def played(stream: Any, script: Sequence[str], log: list[str]) -> list[Any]:
    """Play a script of calls on a generator; return what came of each, and of the generator."""
    told: list[Any] = []
    for number, call in enumerate(script):
        error = thrown_by(call)
        steps: dict[str, Callable[[], Any]] = {
            "next": partial(next, stream),
            "send": partial(stream.send, number),
            "send nothing": partial(stream.send, None),
            "close": stream.close,
        }
        told.append(outcome(steps.get(call, partial(stream.throw, error)), error))
        assert current() is None
    with suppress(Exception, GeneratorExit):
        told.append(list(stream))
    return [*told, *log]


def played_async(stream: Any, script: Sequence[str], log: list[str]) -> list[Any]:
    """Play a script of calls on an asynchronous generator."""
    told: list[Any] = []
    for number, call in enumerate(script):
        error = thrown_by(call)
        steps: dict[str, Callable[[], Any]] = {
            "next": partial(anext, stream),
            "send": partial(stream.asend, number),
            "send nothing": partial(stream.asend, None),
            "close": stream.aclose,
        }
        step = steps.get(call, partial(stream.athrow, error))
        told.append(outcome(partial(run_of, step), error))
        assert current() is None

    async def rest() -> list[Any]:
        return [piece async for piece in stream]

    with suppress(Exception, GeneratorExit):
        told.append(run(rest()))
    return [*told, *log]


PLANS = st.lists(st.sampled_from(REACTIONS), max_size=4)
SCRIPTS = st.lists(st.sampled_from(CALLS), max_size=8)


@given(PLANS, SCRIPTS, st.booleans())
def test_the_same_calls_come_to_the_same_on_an_observed_generator(
    plan: list[str], script: list[str], delegated: bool
) -> None:
    """PEP 342 and 380: ``send``, ``throw``, ``close``, return values, ``yield from``."""
    wrap: Callable[[Any], Any] = delegates if delegated else lambda stream: stream
    log: list[str] = []
    expected = played(wrap(answers(plan, log)), script, log)
    with recording() as recorded:
        log = []
        assert played(wrap(observe("x")(answers)(plan, log)), script, log) == expected
        assert [span.name for span in recorded.spans] == ["x"]
    assert context_api.get_current() == Context()


@given(PLANS, SCRIPTS)
def test_the_same_calls_come_to_the_same_on_an_observed_asynchronous_generator(
    plan: list[str], script: list[str]
) -> None:
    """PEP 525: ``asend``, ``athrow``, ``aclose``."""
    log: list[str] = []
    expected = played_async(async_answers(plan, log), script, log)
    with recording() as recorded:
        log = []
        observed = observe("x")(async_answers)(plan, log)
        assert played_async(observed, script, log) == expected
        del observed
        assert [span.name for span in recorded.spans] == ["x"]
    assert context_api.get_current() == Context()


# Context managers.


def unit_of_work(log: list[str], reaction: str) -> Iterator[str]:
    """Commit or roll back, as a session of a database does."""
    log.append("begun")
    try:
        yield "session"
    except Exception as error:
        log.append("rolled back")
        if reaction == "swallows":
            return
        if reaction == "replaces":
            raise OSError("the rollback failed") from error
        raise
    else:
        log.append("committed")
    finally:
        log.append("closed")


async def async_unit_of_work(log: list[str], reaction: str) -> AsyncGenerator[str]:
    """Do the same, asynchronously."""
    log.append("begun")
    try:
        yield "session"
    except Exception as error:
        log.append("rolled back")
        if reaction == "swallows":
            return
        if reaction == "replaces":
            raise OSError("the rollback failed") from error
        raise
    else:
        log.append("committed")
    finally:
        log.append("closed")


WORK = pytest.mark.parametrize("error", [None, LookupError("x"), StopIteration(), RuntimeError()])
REACTS = pytest.mark.parametrize("reaction", ["raises", "swallows", "replaces"])


@WORK
@REACTS
def test_a_context_manager_of_an_observed_generator_rolls_back(
    recorded: Recording, error: Exception | None, reaction: str
) -> None:
    def use(unit: Callable[..., Iterator[str]], log: list[str]) -> None:
        with contextmanager(unit)(log, reaction) as session:
            assert session == "session"
            if error is not None:
                raise error

    bare: list[str] = []
    log: list[str] = []
    expected = outcome(lambda: use(unit_of_work, bare), error)
    assert outcome(lambda: use(observe("work")(unit_of_work), log), error) == expected
    assert log == bare
    failed = error is not None and reaction != "swallows"
    status = StatusCode.ERROR if failed else StatusCode.UNSET
    assert recorded.span("work").status.status_code is status


@pytest.mark.parametrize("error", [None, LookupError("x"), StopAsyncIteration(), RuntimeError()])
@REACTS
def test_an_asynchronous_context_manager_of_an_observed_generator_rolls_back(
    recorded: Recording, error: Exception | None, reaction: str
) -> None:
    async def use(unit: Callable[..., AsyncGenerator[str]], log: list[str]) -> None:
        async with asynccontextmanager(unit)(log, reaction) as session:
            assert session == "session"
            if error is not None:
                raise error

    bare: list[str] = []
    log: list[str] = []
    expected = outcome(lambda: run(use(async_unit_of_work, bare)), error)
    assert outcome(lambda: run(use(observe("work")(async_unit_of_work), log)), error) == expected
    assert log == bare
    failed = error is not None and reaction != "swallows"
    status = StatusCode.ERROR if failed else StatusCode.UNSET
    assert recorded.span("work").status.status_code is status


# Wrong use.


def test_a_mistake_of_the_consumer_neither_ends_nor_fails_the_operation(
    recorded: Recording,
) -> None:
    """The generator goes on, and so does its operation."""
    stream = observe("x")(answers)(["goes on"], [])
    with pytest.raises(TypeError, match="just-started"):
        stream.send(1)
    assert recorded.spans == []
    assert len(list(stream)) == 1
    assert recorded.span("x").status.status_code is StatusCode.UNSET


def test_a_generator_that_asks_itself_goes_on(recorded: Recording) -> None:
    streams: list[Generator[int]] = []

    @observe("x")
    def asks_itself() -> Generator[int]:
        yield 1
        with pytest.raises(ValueError, match="already executing"):
            next(streams[0])
        start(t.RUN).end()
        yield 2

    streams.append(asks_itself())
    assert list(streams[0]) == [1, 2]
    assert recorded.tree() == "x\n  invoke_workflow"
    assert recorded.span("x").status.status_code is StatusCode.UNSET


# Generators that nobody finishes.


class Calls:
    """A recorder that keeps what ended."""

    def __init__(self) -> None:
        self.done: list[Operation] = []

    def started(self, operation: Operation) -> None:
        """See a start."""

    def ended(self, operation: Operation) -> None:
        """See an end."""
        self.done.append(operation)


@pytest.fixture
def calls() -> Iterator[Calls]:
    """Record what ended."""
    made = Calls()
    with recording_by(SimpleNamespace(recorder=made)):
        yield made


@observe("inner")
def counts() -> Generator[int]:
    """Count for ever."""
    number = 0
    while True:
        yield number
        number += 1


def around() -> Generator[int]:
    """Hand on what an observed generator yields; nobody observes this one."""
    yield from counts()


@observe("outer")
def observed_around() -> Generator[int]:
    """Hand on what an observed generator yields."""
    yield from counts()


@observe("inner")
async def counts_async() -> AsyncGenerator[int]:
    """Count for ever, asynchronously."""
    number = 0
    while True:
        yield number
        number += 1


@observe("inner")
async def awaits(event: Awaitable[None]) -> None:
    """Wait for what may never come."""
    await event


class Never:
    """Waits for ever."""

    def __await__(self) -> Generator[None]:
        while True:
            yield


def half_run(make: Callable[[], Any]) -> Any:
    """Start what can only be freed by the garbage collector; return what it is held by."""
    stream = make()
    if hasattr(stream, "__anext__"):
        assert run(anext(stream)) == 0
    else:
        # What a coroutine has attached is its context's, and stays there.
        contextvars.copy_context().run(stream.send, None)
    holder: list[Any] = [stream]
    holder.append(holder)
    return holder


LEFT = pytest.mark.parametrize(
    ("make", "number"),
    [
        (counts, 1),
        (around, 1),
        (observed_around, 2),
        (counts_async, 1),
        (lambda: awaits(Never()), 1),
    ],
    ids=["generator", "yield from", "observed yield from", "asynchronous", "coroutine"],
)


@LEFT
def test_dropping_one_ends_nothing_and_the_next_start_ends_it_at_that_time(
    calls: Calls, make: Callable[[], Any], number: int
) -> None:
    """The garbage collector finds it anywhere: in the middle of an export, with a lock held."""
    holder = half_run(make)
    before = time.time_ns()
    del holder
    gc.collect()
    after = time.time_ns()
    assert calls.done == []
    start(t.RUN)
    assert len(calls.done) == number
    for ended in calls.done:
        assert before <= ended.end_ns <= after
        assert not ended.failed
    assert context_api.get_current() == Context()


@LEFT
def test_dropping_one_waits_for_no_lock(
    recorded: Recording, make: Callable[[], Any], number: int
) -> None:
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        with process.counting:
            held.set()
            assert free.wait(DEADLINE)

    def drop() -> None:
        held.wait()
        holders.clear()
        gc.collect()

    holders = [half_run(make)]
    holding, dropping = threading.Thread(target=hold), threading.Thread(target=drop)
    holding.start()
    dropping.start()
    dropping.join(DEADLINE / 2)
    waited = dropping.is_alive()
    free.set()
    holding.join()
    dropping.join()
    assert not waited
    assert len(recorded.spans) == number


@LEFT
def test_what_is_found_in_the_middle_of_counting_is_not_counted_there(
    calls: Calls, make: Callable[[], Any], number: int
) -> None:
    holder = half_run(make)
    with process.counting:
        del holder
        gc.collect()
        assert calls.done == []
    start(t.RUN)
    assert len(calls.done) == number


def test_one_that_is_closed_ends_at_that_time(calls: Calls) -> None:
    """Closing may be the garbage collector's as well, for whoever waits in ``yield from``."""
    stream = counts()
    next(stream)
    before = time.time_ns()
    stream.close()
    after = time.time_ns()
    start(t.RUN)
    [ended] = calls.done
    assert before <= ended.end_ns <= after
    del stream
    gc.collect()
    start(t.RUN)
    assert calls.done == [ended]


def test_closing_an_iterator_that_cannot_be_closed_ends_its_operation(calls: Calls) -> None:
    stream = ObservedStream([1, 2], start(t.RUN), lambda _: None)
    assert next(stream) == 1
    stream.close()
    start(t.RUN)
    assert len(calls.done) == 1


def test_one_that_is_left_when_the_interpreter_ends_says_nothing() -> None:
    program = """
import otel_dify
otel_dify.configure(dict.fromkeys(
    ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"))

@otel_dify.observe
def counts():
    while True:
        yield 1

stream = counts()
print(next(stream))
"""
    told = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE * 2,
    )
    assert (told.returncode, told.stdout, told.stderr) == (0, "1\n", "")
