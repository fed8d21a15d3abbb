"""Bodies of responses: they end their requests' operations, and tell how runs in them ended."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

from otel_dify import table as t
from otel_dify.guard import guarded, never_raises
from otel_dify.operations.operation import Operation

# Events of a stream that tell how a run ended (Dify's StreamEvent). Their name comes first, what
# somebody wrote is within strings, and the status comes before the outputs.
_TELLING = re.compile(rb'data: \{"event": ?"(workflow_finished|workflow_paused|error)"')
_STATUS = re.compile(rb'"status": ?"([a-z-]+)"')
_HEAD = 2_048
"""Bytes of such an event in which its status stands."""


@never_raises("otel_dify.sources.libraries.responses code")
def _take_code(operation: Operation, chunk: bytes) -> None:
    """Take Dify's code for what went wrong, such as ``rate_limit_error``."""
    said = json.loads(chunk)
    code = said.get("code") if isinstance(said, dict) else None
    if isinstance(code, str):
        operation.set(t.ERROR_CODE, code)


@never_raises("otel_dify.sources.libraries.responses event")
def _take_event(operation: Operation, chunk: bytes) -> None:
    """Take from an event of a stream how the run ended that another process has run."""
    found = _TELLING.match(chunk)
    if found is None:
        return
    name = found[1]
    if name == b"error":
        _take_code(operation, chunk.removeprefix(b"data: "))
    elif name == b"workflow_paused":
        operation.set(t.RUN_STATUS, "paused")
    elif (status := _STATUS.search(chunk, 0, _HEAD)) is not None:
        operation.set(t.RUN_STATUS, status[1].decode("ascii"))


def ending_when_closed(file: Any, operation: Operation) -> Iterable[bytes]:
    """Have a file end its request's operation when the server closes it.

    Args:
        file: what the server sends in its own way (``wsgi.file_wrapper``).
        operation: the request's operation.
    """
    close = getattr(file, "close", None)

    def close_and_end() -> None:
        try:
            if close is not None:
                close()
        finally:
            with guarded("otel_dify.sources.libraries.responses end"):
                operation.end()

    file.close = close_and_end
    sent: Iterable[bytes] = file
    return sent


class Body:
    """The body of a response, which ends its request's operation when it has been sent.

    Args:
        body: what the app returned.
        operation: the request's operation.
        explains: whether it is Dify's JSON for what went wrong, whose code is taken.
        streams: whether it is a stream of events, one a chunk, which tell how a run ended.
    """

    def __init__(
        self,
        body: Iterable[bytes],
        operation: Operation,
        *,
        explains: bool = False,
        streams: bool = False,
    ) -> None:
        self._explains = explains
        self._streams = streams
        self._body = body
        self._operation = operation
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        chunks = iter(self._body)
        operation = self._operation
        while True:
            with operation.active():
                try:
                    chunk = next(chunks)
                except StopIteration:
                    self._end()
                    return
                except BaseException as error:
                    with guarded("otel_dify.sources.libraries.responses failed"):
                        operation.fail(error)
                    raise
            if self._explains:
                self._explains = False
                _take_code(operation, chunk)
            if self._streams:
                _take_event(operation, chunk)
            if not self._size:
                operation.set(t.HTTP_FIRST_BYTE, (time.time_ns() - operation.start_ns) / 1e9)
            self._size += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close the body and end the operation, as the server does when all is sent or lost."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                with self._operation.active():
                    close()
        finally:
            self._end()

    def _end(self) -> None:
        with guarded("otel_dify.sources.libraries.responses end"):
            self._operation.set(t.HTTP_BODY_SIZE, self._size)
            self._operation.end()
