"""Backends: asking Jaeger, Prometheus and Loki for what was sent as a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from otel_dify.cli.doctor.testing import LOG_NAME, METRIC, SERVICE, Sent
from otel_dify.cli.web import Reply, Unanswered, get

_OK, _NOT_FOUND = 200, 404


@dataclass(frozen=True, slots=True)
class Backend:
    """One backend.

    Attributes:
        name: what it is called.
        signal: what it keeps of the three.
        what: what is looked for in it.
        has: asks for it, given its address, what was sent and the seconds that there are; tells
            whether it is there. Raises ``Unanswered`` where the backend cannot be asked.
    """

    name: str
    signal: str
    what: str
    has: Callable[[str, Sent, float], bool]


def _jaeger(url: str, sent: Sent, timeout_s: float) -> bool:
    """Ask by the trace's id; Jaeger 1 and 2 have this address alike."""
    reply = get(f"{url}/api/traces/{sent.trace_id:032x}", timeout_s)
    if reply.status == _NOT_FOUND:
        _expect_json(reply, "Jaeger")
        return False
    return bool(_read(reply, "Jaeger").get("data"))


def _prometheus(url: str, sent: Sent, timeout_s: float) -> bool:
    """Ask for the value, the time at which it was sent; however names are written there."""
    name = METRIC.replace(".", "[._]")
    query = f'{{__name__=~"{name}.*"}} >= {sent.seconds!r}'
    reply = get(f"{url}/api/v1/query", timeout_s, {"query": query})
    return bool(_read(reply, "Prometheus")["data"]["result"])


def _loki(url: str, sent: Sent, timeout_s: float) -> bool:
    """Ask by the trace's id, among the records of the test's own service."""
    query = f'{{service_name="{SERVICE}"}} | trace_id="{sent.trace_id:032x}" |= "{LOG_NAME}"'
    start = str(int((sent.seconds - 60) * 1e9))
    parameters = {"query": query, "start": start, "limit": "1"}
    reply = get(f"{url}/loki/api/v1/query_range", timeout_s, parameters)
    return bool(_read(reply, "Loki")["data"]["result"])


BACKENDS = {
    "jaeger": Backend("Jaeger", "traces", "span", _jaeger),
    "prometheus": Backend("Prometheus", "metrics", "metric", _prometheus),
    "loki": Backend("Loki", "logs", "log record", _loki),
}


def _expect_json(reply: Reply, name: str) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(reply.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unanswered(f"what answers there ({reply.status}) is no {name}")
    return found


def _read(reply: Reply, name: str) -> dict[str, dict[str, object]]:
    if reply.status != _OK:
        text = reply.body.decode(errors="replace").strip()[:200]
        raise Unanswered(f"it answers {reply.status}" + (f" ({text})" if text else ""))
    return _expect_json(reply, name)
