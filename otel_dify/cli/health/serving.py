"""Serving: the pages over HTTP/1.1, one request a connection, with bounds on everything.

Whoever can connect may send what they like, as slowly as they like. So a request has a few seconds
and a few kilobytes, an answer has a few seconds to be taken, there are so many connections and no
more, and of those that have not asked yet the oldest gives way to a new one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus

from otel_dify.cli.health.pages import Make, Page, as_json
from otel_dify.guard import failed

MOST_BYTES = 8_192
"""Bytes of a request: its first line and its headers; nobody sends a body here."""
MOST = 64
"""Connections at one time."""
ASKING_S, TAKING_S = 5.0, 10.0
"""Seconds for a request to come, and for its answer to be taken."""
_ANSWERING = 8
"""Pages that are made at one time."""
_END = b"\r\n\r\n"
_WORDS = 3


class Server:
    """Answers requests.

    Args:
        pages: what makes the page of each path.
        host: address to listen at.
        port: the port; 0 for any.
        most: connections at one time.
        asking_s: seconds for a request to come.
    """

    def __init__(
        self,
        pages: Mapping[str, Make],
        host: str,
        port: int,
        *,
        most: int = MOST,
        asking_s: float = ASKING_S,
    ) -> None:
        self._pages = pages
        self._host, self._port = host, port
        self._most, self._asking_s = most, asking_s
        self._near = _is_loopback(host)
        # In order of their age.
        self._asking: dict[asyncio.Task[None], None] = {}
        self._open = 0
        self._workers = ThreadPoolExecutor(_ANSWERING, "otel_dify-health-page")

    def run(self, ready: Callable[[str, int], None]) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
            ready: told where it listens.

        Raises:
            OSError: it cannot listen there.
        """
        asyncio.run(self._run(ready))

    async def _run(self, ready: Callable[[str, int], None]) -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        server = await asyncio.start_server(
            self._connected, self._host, self._port, limit=MOST_BYTES, backlog=self._most
        )
        try:
            host, port, *_ = server.sockets[0].getsockname()
            ready(host, port)
            await ended.wait()
        finally:
            server.close()
            # One that looks at a service which hangs is not waited for.
            self._workers.shutdown(wait=False, cancel_futures=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= self._most or self._give_way():
                page, with_body = await self._ask(reader)
            else:
                page, with_body = _problem(HTTPStatus.SERVICE_UNAVAILABLE), True
            if page is not None:
                await self._answer(writer, page, with_body=with_body)
        except (OSError, TimeoutError):  # whoever asked has gone, or does not take the answer
            pass
        except Exception as error:  # noqa: BLE001 - the next request is another one
            failed("otel_dify.cli.health", error)
        finally:
            self._open -= 1
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    def _give_way(self) -> bool:
        """Let go of the oldest connection that has not asked yet; tell whether there is one."""
        oldest = next(iter(self._asking), None)
        if oldest is None:
            return False
        del self._asking[oldest]
        oldest.cancel()
        return True

    async def _ask(self, reader: asyncio.StreamReader) -> tuple[Page | None, bool]:
        """Read a request and make its page; none where nothing was asked."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._asking[task] = None
        try:
            async with asyncio.timeout(self._asking_s):
                request = await reader.readuntil(_END)
        except asyncio.IncompleteReadError:
            return None, False
        except asyncio.LimitOverrunError:
            return _problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
        except TimeoutError:
            return _problem(HTTPStatus.REQUEST_TIMEOUT), True
        except asyncio.CancelledError:
            if task in self._asking:
                raise
            # It gave way to a newer one.
            task.uncancel()
            return None, False
        finally:
            self._asking.pop(task, None)
        return await self._page(request)

    async def _page(self, request: bytes) -> tuple[Page, bool]:
        line, *headers = request[: -len(_END)].decode("latin-1").split("\r\n")
        words = line.split(" ")
        if len(words) != _WORDS or not words[2].startswith("HTTP/1."):
            return _problem(HTTPStatus.BAD_REQUEST), True
        method, target, _ = words
        if method not in {"GET", "HEAD"}:
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED), True
        with_body = method == "GET"
        if self._near and not _is_here(headers):
            # A page of somebody's in a browser here, whose name was made to lead to this machine.
            return _problem(HTTPStatus.MISDIRECTED_REQUEST), with_body
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            return _problem(HTTPStatus.NOT_FOUND), with_body
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._workers, make), with_body
        except Exception as error:  # noqa: BLE001 - told as a page
            failed("otel_dify.cli.health page", error)
            return _problem(HTTPStatus.INTERNAL_SERVER_ERROR), with_body

    async def _answer(self, writer: asyncio.StreamWriter, page: Page, *, with_body: bool) -> None:
        status = HTTPStatus(page.status)
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            f"Content-Type: {page.kind}\r\n"
            f"Content-Length: {len(page.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
            "Connection: close\r\n\r\n"
        )
        writer.transport.set_write_buffer_limits(0)
        writer.write(head.encode() + (page.body if with_body else b""))
        async with asyncio.timeout(TAKING_S):
            await writer.drain()
            if writer.can_write_eof():
                with suppress(OSError):
                    writer.write_eof()


def _problem(status: HTTPStatus) -> Page:
    return as_json(status, {"error": status.phrase})


def _is_here(headers: list[str]) -> bool:
    """Tell whether a request names this machine: by an address, or as localhost, or not at all."""
    for header in headers:
        name, _, value = header.partition(":")
        if name.strip().lower() == "host":
            host = value.strip()
            host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
            return host == "localhost" or _is_address(host)
    return True


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)
