"""The public interface for what otel_dify cannot know: plugins' own code, custom tools, forks."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial, wraps
from types import TracebackType
from typing import Any, Self, overload

from opentelemetry import context as context_api

from otel_dify import table as t
from otel_dify.guard import guarded
from otel_dify.naming import name_of
from otel_dify.operations.current import Open, start
from otel_dify.operations.operation import Operation
from otel_dify.process import process
from otel_dify.sources.streams import ObservedAsyncStream, unseen
from otel_dify.sources.watch import end, nothing, watch

_PLACE = "otel_dify.observe"


@overload
def observe[**P, R](name: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def observe(name: str, *, attributes: Mapping[str, object] | None = None) -> Observation: ...
def observe(name: Any, *, attributes: Mapping[str, object] | None = None) -> Any:
    """Observe a function or a block as an operation of its own.

    It is a span below whatever is running, counted in ``dify.requests.total{type="custom"}`` with
    its duration in ``dify.custom.duration``. An exception that leaves it makes it fail, and goes
    on as it would have.

    As a decorator it takes functions of every sort: plain, ``async``, generators and asynchronous
    generators. A generator's operation ends with its last value, and no context is held while its
    consumer runs. As a context manager, ``with`` and ``async with`` both do; the block must not
    yield out of a generator.

        @observe
        def look_up(customer_id: str) -> Customer: ...

        @observe("look up customer", attributes={"crm": "acme"})
        def look_up(customer_id: str) -> Customer: ...

        with observe("merge") as operation:
            operation.set_attribute("rows", 17)

    Without telemetry (``OTEL_SDK_DISABLED=true``, or nothing started) it does nothing.

    Args:
        name: what is done, the same words each time: it is the name of the span and a label. A
            function, where there is nothing in parentheses: then its qualified name is that.
        attributes: what is known of it before it begins; values of any type.
    """
    if isinstance(name, str):
        return Observation(name, attributes or {})
    return Observation(name_of(name), {})(name)


trace = observe
"""The same by the name that it has elsewhere: ``@trace``, ``@trace("…")``."""


def trace_block(name: str, /, **attributes: object) -> Observation:
    """Observe a block, ``with`` or ``async with``: ``observe`` with its attributes as arguments.

        with trace_block("merge", shop="amsterdam") as operation:
            operation.set_attribute("rows", 17)

    Args:
        name: what is done, the same words each time.
        attributes: what is known of it before it begins; values of any type.
    """
    return Observation(name, attributes)


class Block:
    """A context manager that ``async with`` takes as well: entering it waits for nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        """See how the block ended."""

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, stack)


class Observation(Block):
    """What ``observe`` returns: a decorator and a context manager.

    Args:
        name: what is done.
        attributes: what is known of it before it begins.
    """

    def __init__(self, name: str, attributes: Mapping[str, object]) -> None:
        self._name = name
        self._attributes = dict(attributes)
        self._operation: Operation | None = None
        self._token: Any = None

    def set_attribute(self, key: str, value: object) -> None:
        """Set an attribute of the running operation; what is no text, number or list is text."""
        if self._operation is not None:
            set_attribute(self._operation, key, value)

    def __enter__(self) -> Self:
        with guarded(f"{_PLACE} start"):
            self._operation = self._begin()
            if self._operation is not None:
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
        if operation is None:
            return
        if isinstance(error, GeneratorExit):
            # A coroutine that nobody has finished is closed by the garbage collector, anywhere.
            if context_api.get_current() is operation.context:
                context_api.detach(token)
            process.kept(Open).dropped(operation)
            return
        context_api.detach(token)
        if error is not None:
            with guarded(f"{_PLACE} failure"):
                operation.fail(error)
        end(operation, _PLACE)

    def __call__[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function``, observed."""
        if isinstance(function, staticmethod | classmethod):
            # What is below the decorator in a class: the function in it is observed.
            return type(function)(self(function.__func__))
        wrapper: Any
        if inspect.isasyncgenfunction(function):
            wrapper = self._of_async_generator(function)
        elif inspect.iscoroutinefunction(function):
            wrapper = self._of_coroutine(function)
        else:
            wrapper = self._of_function(function)
        return wraps(function)(wrapper)

    def _begin(self) -> Operation | None:
        if process.recording() is None:
            return None
        operation = start(t.CUSTOM, {t.CUSTOM_NAME: self._name})
        for key, value in self._attributes.items():
            set_attribute(operation, key, value)
        return operation

    def _of_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Observe a function; the generator that one returns is observed to its end."""

        def run(*args: Any, **kwargs: Any) -> Any:
            if process.recording() is None:
                return function(*args, **kwargs)
            return watch(_PLACE, self._begin, partial(function, *args, **kwargs), whole=nothing)

        return run

    def _of_coroutine(self, function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            if process.recording() is None:
                return await function(*args, **kwargs)
            # One of the same for each call: calls overlap.
            with Observation(self._name, self._attributes):
                return await function(*args, **kwargs)

        return run

    def _of_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            values = function(*args, **kwargs)
            operation: Operation | None = None
            with guarded(f"{_PLACE} start"):
                operation = self._begin()
            return values if operation is None else ObservedAsyncStream(values, operation, unseen)

        return run


def set_attribute(operation: Operation, key: str, value: object) -> None:
    """Set an attribute to a value of any type; one that cannot be written is named by its type."""
    try:
        operation.set_other(key, value)
    except Exception:  # noqa: BLE001 - it is the caller's object that cannot be written
        with guarded(f"{_PLACE} attribute"):
            operation.set_other(key, f"<{type(value).__qualname__}>")
