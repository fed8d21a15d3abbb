"""Reading from Jaeger's query API.

A trace by its id comes from ``/api/v3/traces``, in OTLP's JSON; of a Jaeger that is older than
that, from ``/api/traces``, in Jaeger's own. Searching by attributes exists over HTTP in the latter
only.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.cli.asking import Backend, NotThereError, understood
from otel_dify.cli.jaeger_json import spans_of
from otel_dify.cli.otlp_json import add
from otel_dify.cli.records import Span, Telemetry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NEWEST = 100
_MANY = 1500
"""Traces of a window; Jaeger's storages refuse many more."""
_SHORTEST_NS = 10**9
"""Windows so short are not cut again."""
_BACK_NS = 7 * 24 * 3600 * 10**9
_SKEW_NS = 60 * 10**9


class Jaeger:
    """A Jaeger.

    Args:
        backend: its query API.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def newest(self) -> Telemetry:
        """Read the newest traces of the last week, a hundred of each service at the most."""
        now = time.time_ns()
        return Telemetry(spans=self._search({}, now - _BACK_NS, now + _SKEW_NS, _NEWEST))

    def by_id(self, text: str) -> Telemetry:
        """Read the trace with an id, or else the traces of the run or message with it.

        Args:
            text: a whole id, in lower case, with hyphens or without; of other texts nothing is
                found.
        """
        digits = text.replace("-", "")
        telemetry = Telemetry()
        if len(digits) != 32 or not all(digit in "0123456789abcdef" for digit in digits):  # noqa: PLR2004 - of a UUID or trace id
            return telemetry
        self._add(telemetry, [digits])
        if not telemetry.spans:
            parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
            now = time.time_ns()
            found = {
                span.trace_id
                for key in (t.RUN_ID.key, t.MESSAGE_ID.key)
                for span in self._search(
                    {key: "-".join(parts)}, now - _BACK_NS, now + _SKEW_NS, _NEWEST
                )
            }
            self._add(telemetry, found)
        return telemetry

    def whole(self, trace_ids: Iterable[str]) -> Telemetry:
        """Read traces by their ids; an id that Jaeger does not have is left out."""
        telemetry = Telemetry()
        self._add(telemetry, trace_ids)
        return telemetry

    def of_app(self, app: str, start_ns: int, end_ns: int) -> Telemetry:
        """Read the traces of an app, named by its whole id or name, between two moments."""
        found: dict[tuple[str, str], Span] = {}
        for key in (t.APP_ID.key, t.APP_NAME.key):
            for span in self._search({key: app}, start_ns, end_ns, _MANY):
                found[span.trace_id, span.span_id] = span
        telemetry = Telemetry(spans=list(found.values()))
        traces = {span.trace_id for span in telemetry.spans}
        if len(traces) >= _MANY:
            telemetry.problems.append(
                f"Jaeger was asked for {_MANY} traces of a service at the most, and there may be "
                "more: give a shorter window with --window"
            )
        return telemetry

    def between(self, start_ns: int, end_ns: int) -> Telemetry:
        """Read all traces between two moments, in parts where they are too many for one answer."""
        found: dict[tuple[str, str], Span] = {}
        parts = [(start_ns, end_ns)]
        while parts:
            begin, end = parts.pop()
            spans = self._search({}, begin, end, _MANY)
            traces = Counter(
                service for _, service in {(s.trace_id, s.process.service) for s in spans}
            )
            if max(traces.values(), default=0) >= _MANY and end - begin > _SHORTEST_NS:
                middle = (begin + end) // 2
                parts += [(begin, middle), (middle, end)]
                continue
            for span in spans:
                found[span.trace_id, span.span_id] = span
        return Telemetry(spans=list(found.values()))

    def _add(self, telemetry: Telemetry, trace_ids: Iterable[str]) -> None:
        for trace_id in trace_ids:
            try:
                answer = self._backend.get(f"/api/v3/traces/{trace_id}")
                with understood(self._backend.url, "Jaeger"):
                    for part in answer if isinstance(answer, list) else [answer]:
                        add(telemetry, part["result"])
            except NotThereError:
                telemetry.spans += self._in_jaegers_json(trace_id)

    def _in_jaegers_json(self, trace_id: str) -> list[Span]:
        try:
            return self._spans(f"/api/traces/{trace_id}")
        except NotThereError:
            return []

    def _spans(self, path: str, **parameters: str | int) -> list[Span]:
        answer = self._backend.get(path, **parameters)
        with understood(self._backend.url, "Jaeger"):
            return list(spans_of(answer))

    def _search(
        self, tags: Mapping[str, str], start_ns: int, end_ns: int, limit: int
    ) -> list[Span]:
        spans: list[Span] = []
        # Jaeger searches one service at a time, and answers with whole traces.
        answer = self._backend.get("/api/services")
        with understood(self._backend.url, "Jaeger"):
            services = list(answer["data"] or ())
        for service in services:
            parameters: dict[str, str | int] = {
                "service": service,
                "start": start_ns // 1000,
                "end": end_ns // 1000,
                "limit": limit,
            }
            if tags:
                parameters["tags"] = json.dumps(dict(tags))
            spans += self._spans("/api/traces", **parameters)
        return spans
