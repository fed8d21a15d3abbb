"""A receiver on 127.0.0.1 that takes requests by HTTP and answers each as a test says, byte by byte.

An answer is bytes to send, or a function that does with the socket what it likes; where it returns
``False`` (or the bytes are ``HANG_UP``) the connection is closed.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

HANG_UP = b""
type Answer = bytes | Callable[[Any], bool]


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        connection: which connection it came over, counted from 0.
        line: its first line.
        headers: names in lower case.
        body: as it came over the wire.
    """

    connection: int
    line: str
    headers: dict[str, str]
    body: bytes


def response(
    status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None, *, said: str = ""
) -> bytes:
    """Write a response; ``said`` is its reason phrase."""
    lines = [f"HTTP/1.1 {status} {said}".strip(), f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


OK = response()


class Receiver:
    """Listens between ``with`` and its end.

    Args:
        answers: one for each request, whatever the connection; the last for all that follow.
        context: for TLS.
        reads_bodies: whether a request is read to its end before it is answered.
        port: where to listen; 0 for any.

    Attributes:
        requests: those that came.
        accepted: connections so far.
        port: where it listens on 127.0.0.1.
        url: the same as an address, by name.
    """

    def __init__(
        self,
        *answers: Answer,
        context: ssl.SSLContext | None = None,
        reads_bodies: bool = True,
        port: int = 0,
    ) -> None:
        self.requests: list[Request] = []
        self.accepted = 0
        self.ending = threading.Event()
        self._answers = list(answers or (OK,))
        self._context = context
        self._reads_bodies = reads_bodies
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if context else 'http'}://localhost:{self.port}"
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ending.set()
        # Wakes what waits for a connection, and what waits for more over one.
        for held in (self._listener, *self._sockets):
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive()
        for held in (self._listener, *self._sockets):
            held.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.ending.is_set():
            try:
                made, _ = self._listener.accept()
            except OSError:
                return
            number, self.accepted = self.accepted, self.accepted + 1
            self._sockets.append(made)
            self._start(partial(self._serve, made, number))

    def _serve(self, made: socket.socket, number: int) -> None:
        talking: socket.socket = made
        # The other side may hang up at any time, and tests have it do so.
        with suppress(OSError):
            if self._context is not None:
                talking = self._context.wrap_socket(made, server_side=True)
                self._sockets.append(talking)
            with talking.makefile("rb") as file:
                while (request := self._read(file, number)) is not None:
                    self.requests.append(request)
                    answer = self._answers[0]
                    if len(self._answers) > 1:
                        self._answers.pop(0)
                    if callable(answer):
                        goes_on = answer(talking)
                    else:
                        talking.sendall(answer)
                        goes_on = answer != HANG_UP
                    if not goes_on:
                        break
        for held in (talking, made):
            held.close()

    def _read(self, file: Any, number: int) -> Request | None:
        line = file.readline().decode("latin-1").strip()
        if not line:
            return None
        if " HTTP/" not in line:
            return Request(number, line, {}, b"")
        headers = {}
        while pair := file.readline().decode().strip():
            name, _, value = pair.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0")) if self._reads_bodies else 0
        return Request(number, line, headers, file.read(size))


def trickling(receiver: Callable[[], Receiver], first: bytes, then: bytes) -> Answer:
    """Answer with something, and then with a byte now and then for ever."""

    def answer(talking: Any) -> bool:
        talking.sendall(first)
        while not receiver().ending.wait(0.02):
            talking.sendall(then)
        return False

    return answer
