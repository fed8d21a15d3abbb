"""A model provider and an HTTP target on one port, for apps to call.

It speaks OpenAI's HTTP API (`/v1/chat/completions`, `/v1/embeddings`) and the rerank call that
Cohere, Jina and others share (`/v1/rerank`). Answers are deterministic. It counts what it
answered, so that what telemetry says of tokens can be compared with what the provider says.

Faults on demand, by a word in the last user message or the end of the model's name:

========================  ==================================================================
word, or suffix           what happens
========================  ==================================================================
RATELIMIT, -ratelimit     429 with `Retry-After`
SERVERERROR, -error       500
AUTHFAIL, -auth           401
BREAKSTREAM, -break       the stream ends after four chunks, in the middle of the HTTP body
TTFT=<ms>                 that delay before the first token, in place of the default
========================  ==================================================================

Beside them: `/stats`, `/requests`, `/reset`, `/health`, and for http-request nodes `/ok`,
`/echo`, `/status/<n>`, `/flaky?fail=<n>&key=<k>`, `/slow/<ms>`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from examples.model_answers import answer_to, embedding_of, relevance_of, tokens_of, usage_of

CHUNKS_BEFORE_BREAK = 4

_FAULTS = {
    "RATELIMIT": ("-ratelimit", HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded"),
    "SERVERERROR": ("-error", HTTPStatus.INTERNAL_SERVER_ERROR, "server_error"),
    "AUTHFAIL": ("-auth", HTTPStatus.UNAUTHORIZED, "invalid_api_key"),
}


class Provider:
    """What the server remembers: its counts, its requests, and how often a key was tried.

    Args:
        ttft: seconds before the first token of a chat answer.
        chunk: seconds between two chunks of a stream.
    """

    def __init__(self, ttft: float = 0.02, chunk: float = 0.001) -> None:
        self.ttft = ttft
        self.chunk = chunk
        self._lock = threading.Lock()
        self._stats: dict[str, dict[str, Counter[str]]] = {}
        self._requests: list[dict[str, str | None]] = []
        self._tries: Counter[str] = Counter()

    def count(self, kind: str, model: str, **amounts: int) -> None:
        """Add to the counts of a kind (`chat`, `embeddings`, `rerank`) and model."""
        with self._lock:
            self._stats.setdefault(kind, {}).setdefault(model, Counter()).update(amounts)

    def stats(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return kind -> model -> what was counted.

        `requests` counts all, `errors` those refused or broken off. Tokens are counted when their
        usage has been sent: a broken stream has none.
        """
        with self._lock:
            return {
                kind: {model: dict(counts) for model, counts in models.items()}
                for kind, models in self._stats.items()
            }

    def note(self, method: str, path: str, headers: Mapping[str, str]) -> None:
        """Remember one request and the trace context it came with."""
        with self._lock:
            passed = {name: headers.get(name) for name in ("traceparent", "baggage")}
            self._requests.append({"method": method, "path": path, **passed})

    def requests(self) -> list[dict[str, str | None]]:
        """Return every request since the last reset: method, path, traceparent, baggage."""
        with self._lock:
            return list(self._requests)

    def attempt(self, key: str) -> int:
        """Return how many times this key has been tried, this one included."""
        with self._lock:
            self._tries[key] += 1
            return self._tries[key]

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._stats.clear()
            self._requests.clear()
            self._tries.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Keep the log to failures."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        provider = self.server.provider
        own = {
            "/health": lambda: {"status": "ok"},
            "/stats": provider.stats,
            "/requests": provider.requests,
            "/reset": provider.reset,
        }.get(url.path)
        if own is not None:
            self._json(own())
            return
        provider.note(self.command, self.path, dict(self.headers.items()))
        models = {
            "/v1/chat/completions": self._chat,
            "/v1/embeddings": self._embeddings,
            "/v1/rerank": self._rerank,
        }.get(url.path)
        # The client may be gone, killed by a test for example.
        with suppress(BrokenPipeError, ConnectionResetError):
            if models is not None:
                models(json.loads(raw))
            else:
                self._target(url.path, parse_qs(url.query), raw)

    def _json(self, body: object, status: int = HTTPStatus.OK, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _chat(self, body: dict[str, Any]) -> None:
        provider, model, messages = self.server.provider, body["model"], body["messages"]
        users = [str(m.get("content") or "") for m in messages if m["role"] == "user"]
        last = users[-1] if users else ""
        for word, (suffix, status, code) in _FAULTS.items():
            if word in last or model.endswith(suffix):
                provider.count("chat", model, requests=1, errors=1)
                error = {"message": f"asked to fail: {word}", "type": code, "code": code}
                self._json({"error": error}, status, Retry_After="1")
                return
        delay = re.search(r"TTFT=(\d+)", last)
        time.sleep(int(delay[1]) / 1000 if delay else provider.ttft)
        text = answer_to(messages)
        usage = usage_of(model, messages, text)
        head = {"id": "chatcmpl-" + hashlib.sha256(text.encode()).hexdigest()[:12], "model": model}
        if not body.get("stream"):
            self._bill("chat", model, usage)
            message = {"role": "assistant", "content": text}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._json({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        breaks = "BREAKSTREAM" in last or model.endswith("-break")
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, delta in enumerate(self._deltas(text)):
            if breaks and number == CHUNKS_BEFORE_BREAK:
                provider.count("chat", model, requests=1, errors=1)
                self.close_connection = True
                return
            self._event({**head, "object": "chat.completion.chunk", "choices": [delta]})
        # Counted before it is sent: who has read the answer may ask for the counts at once.
        self._bill("chat", model, usage)
        if with_usage:
            self._event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _deltas(self, text: str) -> Iterator[dict[str, Any]]:
        for word in re.findall(r"\S+\s*", text):
            yield {"index": 0, "delta": {"role": "assistant", "content": word}}
            time.sleep(self.server.provider.chunk)
        yield {"index": 0, "delta": {}, "finish_reason": "stop"}

    def _event(self, body: object) -> None:
        self._chunk(b"data: " + json.dumps(body).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _bill(self, kind: str, model: str, usage: Mapping[str, Any]) -> None:
        self.server.provider.count(
            kind,
            model,
            requests=1,
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage.get("completion_tokens", 0),
            cached_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
            reasoning_tokens=usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0),
        )

    def _embeddings(self, body: dict[str, Any]) -> None:
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        usage = {"prompt_tokens": sum(map(tokens_of, texts))}
        usage["total_tokens"] = usage["prompt_tokens"]
        self._bill("embeddings", body["model"], usage)
        data = [
            {"object": "embedding", "index": i, "embedding": embedding_of(text)}
            for i, text in enumerate(texts)
        ]
        self._json({"object": "list", "model": body["model"], "data": data, "usage": usage})

    def _rerank(self, body: dict[str, Any]) -> None:
        # Billed by the search: the API has no tokens to report.
        self.server.provider.count("rerank", body["model"], requests=1)
        results = [
            {"index": i, "relevance_score": relevance_of(body["query"], text)}
            for i, text in enumerate(body["documents"])
        ]
        results.sort(key=lambda result: -result["relevance_score"])
        self._json({"model": body["model"], "results": results[: body.get("top_n")]})

    def _target(self, path: str, query: dict[str, list[str]], raw: bytes) -> None:
        match path.strip("/").split("/"):
            case ["ok"]:
                self._json({"ok": True})
            case ["echo"]:
                self._json({"method": self.command, "body": raw.decode(), "query": query})
            case ["status", number]:
                self._json({"status": int(number)}, int(number))
            case ["flaky"]:
                tries = self.server.provider.attempt(query["key"][0])
                failed = tries <= int(query["fail"][0])
                status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
                self._json({"attempt": tries}, status)
            case ["slow", milliseconds]:
                time.sleep(int(milliseconds) / 1000)
                self._json({"slept_ms": int(milliseconds)})
            case _:
                self._json({"error": f"no such path: {path}"}, HTTPStatus.NOT_FOUND)


class ModelServer(ThreadingHTTPServer):
    """The server; `serve_forever` runs it, `url` says where it listens.

    Args:
        provider: what it answers with and counts in.
        port: a port; 0 takes a free one.
        host: the address to listen on.
    """

    daemon_threads = True
    # Connections that may wait to be accepted; the standard library's 5 refuses a burst.
    request_queue_size = 128

    def __init__(self, provider: Provider, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__((host, port), _Handler)
        self.provider = provider

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A deterministic model provider, and HTTP target.")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free port")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--ttft-ms", type=float, default=20, help="delay before the first token")
    parser.add_argument("--chunk-ms", type=float, default=1, help="delay between two chunks")
    args = parser.parse_args()
    provider = Provider(ttft=args.ttft_ms / 1000, chunk=args.chunk_ms / 1000)
    with ModelServer(provider, args.port, args.host) as server:
        print(server.url, flush=True)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
