"""Streams: generators whose pieces are made within an operation.

A generator is suspended and finished wherever its consumer runs, so no context is ever held over a
``yield``: each piece is fetched with the operation as the current one, and handed on without it.
The wrappers are no generators themselves: a generator that is dropped is closed by the garbage
collector, in the middle of anything, and there only a note may be left. The same goes for what is
closed: whatever waits in ``yield from`` for a generator of ours closes it when it is dropped.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from typing import Any

from opentelemetry import context as context_api

from otel_dify.guard import guarded
from otel_dify.operations.current import Open
from otel_dify.operations.operation import Operation
from otel_dify.process import process

type See = Callable[[Any], None]


def unseen(_piece: Any) -> None:
    """See nothing of a piece."""


class _Observed:
    """What a stream and its operation have in common, whether it is asynchronous or not."""

    def __init__(self, pieces: Any, operation: Operation, see: See) -> None:
        self._pieces = pieces
        self._operation = operation
        self._see = see
        self._ended = False

    def __getattr__(self, name: str) -> Any:
        """Pass on what else a generator has (``gi_frame``, ``ag_running``)."""
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._pieces, name)

    def __del__(self) -> None:
        if "_ended" in self.__dict__:
            self._leave()

    def _seen(self, piece: Any) -> Any:
        with guarded("otel_dify.sources.streams piece"):
            self._see(piece)
        return piece

    def _lives_on(self) -> bool:
        """Tell whether the generator goes on after an exception, which then was not its own.

        It tells who uses it wrongly (a ``send`` before its start, a ``next`` while it runs), or has
        refused to be closed.
        """
        frames = (getattr(self._pieces, name, None) for name in ("gi_frame", "ag_frame"))
        return any(frame is not None for frame in frames)

    def _note(self, error: BaseException) -> None:
        """Take note of an exception that the generator has ended with."""
        if not isinstance(error, GeneratorExit):
            with guarded("otel_dify.sources.streams failure"):
                self._operation.fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._ended and not self._lives_on():
            self._note(error)
            self._end()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            with guarded("otel_dify.sources.streams end"):
                self._operation.end()

    def _leave(self) -> None:
        """Leave a note that it has ended; this may be the garbage collector."""
        if not self._ended:
            self._ended = True
            process.kept(Open).dropped(self._operation)


class ObservedStream(_Observed, Generator[Any, Any, Any]):
    """The same pieces as those of a generator or iterator, made within an operation.

    It ends the operation with the last piece, with an exception, and after it has been closed or
    dropped, at that time. ``send``, ``throw``, ``close`` and return values are those of PEP 342 and
    PEP 380.

    Args:
        pieces: what the observed function returned.
        operation: its operation, still open.
        see: is shown each piece before the consumer gets it.
    """

    def __init__(self, pieces: Iterable[Any], operation: Operation, see: See) -> None:
        super().__init__(iter(pieces), operation, see)

    def __next__(self) -> Any:
        return self._step(self._pieces.__next__)

    def send(self, value: Any) -> Any:
        """Send a value in and return the next piece."""
        return self._step(self._pieces.send, value)

    def throw(self, *error: Any) -> Any:
        """Raise an exception where the generator is suspended and return the next piece."""
        return self._step(self._pieces.throw, *error)

    def close(self) -> Any:
        """Close the generator; the operation ends soon, at the time that this was done."""
        close = getattr(self._pieces, "close", None)
        if close is None:
            self._leave()
            return None
        if self._ended:
            return close()
        token = context_api.attach(self._operation.context)
        try:
            returned = close()
        except BaseException as error:
            if not self._lives_on():
                self._note(error)
                self._leave()
            raise
        finally:
            context_api.detach(token)
        self._leave()
        return returned

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        token = context_api.attach(self._operation.context)
        try:
            piece = step(*given)
        except StopIteration:
            self._end()
            raise
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            context_api.detach(token)
        return self._seen(piece)


class ObservedAsyncStream(_Observed, AsyncGenerator[Any, Any]):
    """The same for an asynchronous generator (PEP 525)."""

    def __init__(self, pieces: AsyncGenerator[Any, Any], operation: Operation, see: See) -> None:
        super().__init__(pieces, operation, see)

    async def __anext__(self) -> Any:
        return await self._step(self._pieces.__anext__())

    async def asend(self, value: Any) -> Any:
        """Send a value in and return the next piece."""
        return await self._step(self._pieces.asend(value))

    async def athrow(self, *error: Any) -> Any:
        """Raise an exception where the generator is suspended and return the next piece."""
        return await self._step(self._pieces.athrow(*error))

    async def aclose(self) -> None:
        """Close the generator and end the operation."""
        token = context_api.attach(self._operation.context)
        try:
            await self._pieces.aclose()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            context_api.detach(token)
        self._end()

    async def _step(self, step: Awaitable[Any]) -> Any:
        token = context_api.attach(self._operation.context)
        try:
            piece = await step
        except StopAsyncIteration:
            self._end()
            raise
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            context_api.detach(token)
        return self._seen(piece)
