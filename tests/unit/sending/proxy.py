"""A proxy on 127.0.0.1 that forwards requests and makes tunnels."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from tests.unit.sending.receiver import Answer, Receiver, response


class Proxy(Receiver):
    """Forwards what it is asked to, whatever the name, to 127.0.0.1.

    Args:
        context: for TLS between it and the client.
        authorization: what ``Proxy-Authorization`` must be, if anything.
        answer: what it answers where it does not forward.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext | None = None,
        authorization: str = "",
        answer: Answer = b"",
    ) -> None:
        super().__init__(self._pass_on, context=context)
        self._authorization = authorization
        self._refusal = answer

    def _pass_on(self, talking: Any) -> bool:
        request = self.requests[-1]
        method, target, _ = request.line.split()
        if callable(self._refusal):
            return self._refusal(talking)
        if self._refusal:
            talking.sendall(self._refusal)
            return True
        if request.headers.get("proxy-authorization", "") != self._authorization:
            talking.sendall(response(407))
            return True
        if method == "CONNECT":
            self._tunnel(talking, int(target.rpartition(":")[2]))
            return False
        address = urlsplit(target)
        with socket.create_connection(("127.0.0.1", address.port or 80)) as far:
            head = [f"POST {address.path} HTTP/1.1", f"Content-Length: {len(request.body)}"]
            far.sendall("\r\n".join([*head, "Via: proxy", "", ""]).encode() + request.body)
            talking.sendall(far.recv(65_536))
        return True

    def _tunnel(self, talking: Any, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            self._sockets.append(far)
            talking.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, talking), daemon=True)
            back.start()
            _pump(talking, far)
            back.join(20)


def _pump(source: Any, sink: Any) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
