"""Asking the backends what they have: small clients for Jaeger, Prometheus and Loki.

Each takes the base URL. What is sent becomes visible only after a moment (queues, batches), so
`wait_until` asks again until an answer satisfies.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from collector.native.errors import NativeError


def wait_until[T](
    ask: Callable[[], T],
    satisfied: Callable[[T], bool] = bool,
    *,
    timeout: float = 30.0,
    what: str = "the expected answer",
) -> T:
    """Call `ask` until `satisfied` by its answer and return that.

    Raises NativeError with the last answer after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if satisfied(answer):
            return answer
        if time.monotonic() > deadline:
            raise NativeError(f"No {what} within {timeout:.0f} s; the last was {answer!r:.2000}")
        time.sleep(0.1)


def _get(url: str, parameters: Mapping[str, str | int | float]) -> httpx.Response:
    """GET, with NativeError where the backend is unreachable."""
    try:
        return httpx.get(url, params=dict(parameters), timeout=30)
    except httpx.HTTPError as error:
        raise NativeError(f"{url} does not answer ({error}): is the stack up?") from error


def _json(response: httpx.Response) -> Any:
    """The body; NativeError with the backend's own words where it refused."""
    if response.status_code != httpx.codes.OK:
        raise NativeError(f"{response.url} answered {response.status_code}: {response.text:.500}")
    return response.json()


class Jaeger:
    """Jaeger's query API.

    A trace by id comes from /api/v3, which answers in OTLP's own JSON. Searching by attributes
    exists over HTTP only in the older /api/traces (the UI's own), of which only the ids are used.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """A trace's spans as OTLP JSON objects, each with its `resource` attributes added.

        Empty where Jaeger does not have the trace.
        """
        response = _get(f"{self.url}/api/v3/traces/{trace_id}", {})
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        return [
            span | {"resource": attributes(of_resource["resource"].get("attributes", []))}
            for of_resource in _json(response)["result"].get("resourceSpans", [])
            for of_scope in of_resource.get("scopeSpans", [])
            for span in of_scope.get("spans", [])
        ]

    def search(
        self,
        service: str,
        tags: Mapping[str, str] | None = None,
        *,
        lookback: float = 3600.0,
        limit: int = 20,
    ) -> list[str]:
        """Trace ids (32 hexadecimal digits) of a service's spans having all `tags`.

        Looks at the last `lookback` seconds; newest first; values are compared as text.
        """
        now = time.time()
        parameters: dict[str, str | int | float] = {
            "service": service,
            "start": int((now - lookback) * 1e6),
            "end": int((now + 60) * 1e6),
            "limit": limit,
        }
        if tags:
            parameters["tags"] = json.dumps(dict(tags))
        found = _json(_get(f"{self.url}/api/traces", parameters))["data"]
        return [trace["traceID"].rjust(32, "0") for trace in found]

    def link(self, trace_id: str) -> str:
        """Where a person sees the trace."""
        return f"{self.url}/trace/{trace_id}"


@dataclass(frozen=True)
class Series:
    """One time series of a Prometheus answer: labels, and (seconds, value) samples."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def value(self) -> float:
        """The newest sample's value."""
        return self.samples[-1][1]


class Prometheus:
    """Prometheus' HTTP API: PromQL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, promql: str, at: float | None = None) -> list[Series]:
        """Evaluate PromQL at one instant (seconds since the epoch, by default now)."""
        parameters: dict[str, str | int | float] = {"query": promql}
        if at is not None:
            parameters["time"] = at
        result = _json(_get(f"{self.url}/api/v1/query", parameters))["data"]
        if result["resultType"] == "scalar":
            return [Series({}, [_sample(result["result"])])]
        return [Series(row["metric"], [_sample(row["value"])]) for row in result["result"]]

    def query_range(
        self, promql: str, start: float, end: float, step: float = 15.0
    ) -> list[Series]:
        """Evaluate PromQL from `start` to `end` (seconds since the epoch) every `step` seconds."""
        response = _get(
            f"{self.url}/api/v1/query_range",
            {"query": promql, "start": start, "end": end, "step": step},
        )
        result = _json(response)["data"]["result"]
        return [Series(row["metric"], [_sample(s) for s in row["values"]]) for row in result]

    def exemplars(self, promql: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of the series in a query: `labels` (trace_id, …), `value`, `timestamp`."""
        response = _get(
            f"{self.url}/api/v1/query_exemplars", {"query": promql, "start": start, "end": end}
        )
        return [found for series in _json(response)["data"] for found in series["exemplars"]]


@dataclass(frozen=True)
class LogLine:
    """One log record of Loki: index labels and structured metadata together, and its body."""

    nanoseconds: int
    body: str
    labels: Mapping[str, str]


class Loki:
    """Loki's HTTP API: LogQL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query_range(
        self, logql: str, *, lookback: float = 3600.0, limit: int = 1000
    ) -> list[LogLine]:
        """Log records of the last `lookback` seconds, oldest first."""
        now = time.time()
        parameters: dict[str, str | int | float] = {
            "query": logql,
            "start": int((now - lookback) * 1e9),
            "end": int((now + 60) * 1e9),
            "limit": limit,
            "direction": "forward",
        }
        streams = _json(_get(f"{self.url}/loki/api/v1/query_range", parameters))["data"]["result"]
        lines = [
            LogLine(int(nanoseconds), body, stream["stream"])
            for stream in streams
            for nanoseconds, body in stream["values"]
        ]
        return sorted(lines, key=lambda line: line.nanoseconds)

    def labels(self, selector: str) -> list[str]:
        """The names of the index labels of the last hour's streams that match a selector."""
        found = _json(_get(f"{self.url}/loki/api/v1/series", {"match[]": selector}))["data"]
        return sorted({name for stream in found for name in stream})


def attributes(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """OTLP JSON's list of key-values as a dictionary; integers, which it has as text, as int."""
    return {pair["key"]: _any_value(pair["value"]) for pair in pairs}


def _any_value(value: Mapping[str, Any]) -> Any:
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [_any_value(item) for item in content.get("values", [])]
        if kind == "kvlistValue":
            return attributes(content.get("values", []))
        return content
    return None


def _sample(pair: Sequence[Any]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
