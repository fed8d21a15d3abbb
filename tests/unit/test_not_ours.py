"""An exception of Dify's reaches its caller as it was, and is never counted as one of ours."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from otel_dify import guard, observe
from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.sources import carry
from otel_dify.sources.calls import Call, attach_calls
from tests.recording import Recording


class DifysError(Exception):
    """What Dify raises."""


ERROR = DifysError("Dify's")


class Service:
    """A class of Dify's, whose methods fail each in its way."""

    def fails(self, name: str) -> None:
        """Fail at once."""
        del name
        raise ERROR

    def fails_later(self, name: str) -> Iterator[int]:
        """Fail in the body of a generator."""
        del name
        yield 1
        raise ERROR

    def fails_closing(self, name: str) -> Iterator[int]:
        """Fail when the generator is closed."""
        del name
        try:
            yield 1
            yield 2
        finally:
            raise ERROR

    def works(self, name: str) -> str:
        """Work."""
        return name

    @classmethod
    def of_class(cls, name: str) -> str:
        """Work as well."""
        return name


NAMES = [name for name in vars(Service) if not name.startswith("_")]


@pytest.fixture
def service() -> Any:
    """Give a service whose methods are watched."""
    watched: Any = type("Service", (), {name: vars(Service)[name] for name in NAMES})
    module = ModuleType("services.of_dify")
    module.Service = watched  # type: ignore[attr-defined] # a module made here
    attach_calls(
        module,
        *(
            Call(f"Service.{name}", t.CUSTOM, lambda given: {t.CUSTOM_NAME: given.get("name")})
            for name in NAMES
        ),
    )
    return watched


def raised_by(work: Callable[[], Any]) -> tuple[BaseException, str]:
    """Return what a work raises, and the function in which it was raised."""
    ERROR.__traceback__ = ERROR.__context__ = None
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - whatever it is
        work()
    return raised.value, raised.traceback[-1].name


def close_after_one(pieces: Any) -> None:
    """Take one piece, and no more."""
    assert next(pieces) == 1
    pieces.close()


WAYS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a call": ("fails", lambda service: service().fails("x")),
    "a generator": ("fails_later", lambda service: list(service().fails_later("x"))),
    "a close": ("fails_closing", lambda service: close_after_one(service().fails_closing("x"))),
    "a throw": (
        "fails_closing",
        lambda service: _throw_into(service().fails_closing("x"), KeyError("thrown")),
    ),
}


def _throw_into(pieces: Any, error: BaseException) -> None:
    next(pieces)
    pieces.throw(error)


@pytest.mark.parametrize("way", WAYS)
def test_what_difys_function_raises_reaches_its_caller_as_it_was(
    recorded: Recording, service: Any, way: str
) -> None:
    """The fixture fails the test if anything has been counted as ours."""
    function, work = WAYS[way]
    error, where = raised_by(lambda: work(service))
    assert error is ERROR
    assert where == function
    assert not guard.caught()
    assert recorded.attributes("x")["error.type"] == "DifysError"


WRONG: dict[str, Callable[[Any], Any]] = {
    "too few": lambda service: service().works(),
    "too many": lambda service: service().works("x", "y"),
    "another name": lambda service: service().works(title="x"),
    "twice": lambda service: service().works("x", name="x"),
    "too few of a class": lambda service: service.of_class(),
    "too many for a generator": lambda service: service().fails_later("x", "y"),
    "no instance": lambda service: service.works(),
}


@pytest.mark.parametrize("way", WRONG)
def test_wrong_arguments_are_the_callers_mistake_and_told_in_pythons_words(
    recorded: Recording, service: Any, way: str
) -> None:
    error, _ = raised_by(lambda: WRONG[way](service))
    bare, _ = raised_by(lambda: WRONG[way](Service))
    assert (type(error), error.args) == (TypeError, bare.args)
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not guard.caught()
    assert len(recorded.spans) <= 1


@observe("observed")
def observed_call() -> None:
    """Fail at once."""
    raise ERROR


@observe("observed")
async def observed_coroutine() -> None:
    """Fail when it is waited for."""
    await asyncio.sleep(0)
    raise ERROR


@observe("observed")
def observed_generator() -> Generator[int]:
    """Fail after a piece."""
    yield 1
    raise ERROR


@observe("observed")
async def observed_async_generator() -> AsyncGenerator[int]:
    """Fail after a piece."""
    yield 1
    raise ERROR


@observe("observed")
async def observed_async_closing() -> AsyncGenerator[int]:
    """Fail when it is closed."""
    try:
        yield 1
    finally:
        raise ERROR


async def all_of(pieces: AsyncGenerator[int]) -> list[int]:
    """Take all pieces."""
    return [piece async for piece in pieces]


async def closed(pieces: AsyncGenerator[int]) -> None:
    """Take one piece, and no more."""
    await anext(pieces)
    await pieces.aclose()


OBSERVED: dict[str, Callable[[], Any]] = {
    "observed_call": observed_call,
    "observed_coroutine": lambda: asyncio.run(observed_coroutine()),
    "observed_generator": lambda: list(observed_generator()),
    "observed_async_generator": lambda: asyncio.run(all_of(observed_async_generator())),
    "observed_async_closing": lambda: asyncio.run(closed(observed_async_closing())),
}


@pytest.mark.parametrize("function", OBSERVED)
def test_what_an_observed_function_raises_reaches_its_caller_as_it_was(
    recorded: Recording, function: str
) -> None:
    error, where = raised_by(OBSERVED[function])
    assert error is ERROR
    assert where == function
    assert not guard.caught()
    assert recorded.attributes("observed")["error.type"] == "DifysError"


def test_what_a_carried_method_raises_reaches_whoever_calls_it(recorded: Recording) -> None:
    class OutputModeration:
        def worker(self) -> None:
            raise ERROR

    module = ModuleType("core.moderation.output_moderation")
    module.OutputModeration = OutputModeration  # type: ignore[attr-defined] # a module made here
    carry.attach(module)
    request = start(t.REQUEST)
    with request.active():
        carried = OutputModeration().worker
    for work in (carried, OutputModeration().worker):
        error, where = raised_by(work)
        assert error is ERROR
        assert where == "worker"
    error, _ = raised_by(lambda: carried("too many"))  # type: ignore[call-arg] # as a caller may
    assert isinstance(error, TypeError)
    assert not guard.caught()
    assert recorded.spans == []


def test_what_a_carried_executor_raises_reaches_whoever_submits(recorded: Recording) -> None:
    class AppGeneratorTTSPublisher:
        def __init__(self, *, fails: bool = False) -> None:
            if fails:
                raise ERROR
            self.executor = ThreadPoolExecutor(1)

        def _runtime(self) -> None:
            raise ERROR

    module = ModuleType("core.base.tts.app_generator_tts_publisher")
    module.AppGeneratorTTSPublisher = AppGeneratorTTSPublisher  # type: ignore[attr-defined] # a module made here
    carry.attach(module)
    error, where = raised_by(lambda: AppGeneratorTTSPublisher(fails=True))
    assert (error is ERROR, where) == (True, "__init__")
    ERROR.__traceback__ = None
    with start(t.REQUEST).active():
        publisher = AppGeneratorTTSPublisher()
        spoken = publisher.executor.submit(publisher._runtime)
    assert spoken.exception() is ERROR
    assert traceback.extract_tb(ERROR.__traceback__)[-1].name == "_runtime"
    publisher.executor.shutdown()
    error, _ = raised_by(lambda: publisher.executor.submit(publisher._runtime))
    assert isinstance(error, RuntimeError)
    assert not guard.caught()
    assert recorded.spans == []
