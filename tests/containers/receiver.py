"""Takes what is posted to it, and shows it on GET as a list: Alertmanager's webhook in the tests."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_posted: list[Any] = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        _posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._answer({})

    def do_GET(self) -> None:
        self._answer(_posted)

    def _answer(self, content: object) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())


ThreadingHTTPServer(("0.0.0.0", 8000), _Handler).serve_forever()  # noqa: S104 - in a container
