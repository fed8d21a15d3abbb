"""The public interface for what otel_dify cannot know: plugins' own code, custom tools, forks."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as context_api

from otel_dify.guard import guarded
from otel_dify.operations import attributes as a
from otel_dify.operations.kinds_of_apps import CUSTOM
from otel_dify.operations.lifecycle import start
from otel_dify.operations.operation import Operation
from otel_dify.operations.values import Value, as_value
from otel_dify.sources.streams import observed, unseen


class observe:  # noqa: N801 - reads as the verb it is: `@observe("...")`, `with observe("..."):`
    """Observe a function or a block as an operation of its own.

    It is a span below whatever is running, counted in ``dify.requests.total{type="custom"}`` with
    its duration in ``dify.custom.duration``. An exception that leaves it makes it fail, and goes
    on as it would have.

    As a decorator it takes functions of every sort: plain, ``async``, generators and asynchronous
    generators. A generator's operation ends with its last value, and no context is held while its
    consumer runs. As a context manager, ``with`` and ``async with`` both do; the block must not
    yield out of a generator.

        @observe("lookup customer", attributes={"crm": "acme"})
        def lookup(customer_id: str) -> Customer: ...

        with observe("merge") as operation:
            operation.set_attribute("rows", 17)

    Without telemetry (``OTEL_SDK_DISABLED=true``, or nothing started) it does nothing.

    Args:
        name: what is done, the same words each time: it is the name of the span and a label.
        attributes: what is known of it before it begins.
    """

    def __init__(self, name: str, *, attributes: Mapping[str, Value] | None = None) -> None:
        self._name = name
        self._attributes = dict(attributes or {})
        self._operation: Operation | None = None
        self._token: Any = None

    def set_attribute(self, key: str, value: object) -> None:
        """Set an attribute of the running operation; values are text, numbers, truth or lists."""
        if self._operation is not None:
            self._operation.attributes[key] = as_value(value)

    def __enter__(self) -> Self:
        with guarded("otel_dify.observe start"):
            self._operation = self._start()
            self._token = context_api.attach(self._operation.context)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        del kind, stack
        operation, token = self._operation, self._token
        self._operation = self._token = None
        if token is not None:
            context_api.detach(token)
        if operation is not None:
            with guarded("otel_dify.observe end"):
                _end(operation, error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, stack)

    def __call__[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function``, observed."""
        wrapper: Any
        if inspect.isasyncgenfunction(function):
            wrapper = self._of_async_generator(function)
        elif inspect.isgeneratorfunction(function):
            wrapper = self._of_generator(function)
        elif inspect.iscoroutinefunction(function):
            wrapper = self._of_coroutine(function)
        else:
            wrapper = self._of_function(function)
        return wraps(function)(wrapper)

    def _start(self) -> Operation:
        operation = start(CUSTOM, {a.CUSTOM_NAME: self._name})
        operation.attributes.update(self._attributes)
        return operation

    def _again(self) -> observe:
        """Return one of the same for a call: calls may overlap."""
        return observe(self._name, attributes=self._attributes)

    def _of_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return run

    def _of_coroutine(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return await function(*args, **kwargs)

        return run

    def _of_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            values = function(*args, **kwargs)
            with guarded("otel_dify.observe start"):
                return observed(values, self._start(), unseen)
            return values

        return run

    def _of_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            values = function(*args, **kwargs)
            operation: Operation | None = None
            with guarded("otel_dify.observe start"):
                operation = self._start()
            async with _closing(values, operation):
                while True:
                    with _active(operation):
                        try:
                            value = await anext(values)
                        except StopAsyncIteration:
                            return
                    yield value

        return run


@contextmanager
def _active(operation: Operation | None) -> Iterator[None]:
    if operation is None:
        yield
    else:
        with operation.active():
            yield


@asynccontextmanager
async def _closing(values: Any, operation: Operation | None) -> AsyncIterator[None]:
    """Close an asynchronous generator and end its operation, with what ended it."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        await values.aclose()
        if operation is not None:
            with guarded("otel_dify.observe end"):
                _end(operation, None if isinstance(error, GeneratorExit) else error)


def _end(operation: Operation, error: BaseException | None) -> None:
    if error is not None:
        operation.fail(error)
    operation.end()
