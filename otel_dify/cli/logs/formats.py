"""The formats of log files: what each of their lines is as an entry.

- JSON lines of `collector/drop-ins/log-files.yaml` (docs/logs.md lists the fields);
- OTLP JSON lines, as the ``otlp_file`` exporters and the Collector's file exporter write them;
- JSON lines of Dify itself (``LOG_OUTPUT_FORMAT=json``);
- text of Dify and gunicorn as it comes by default, also as ``docker compose logs`` shows it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from otel_dify.cli.logs.entry import Entry, level_of
from otel_dify.cli.otlp_json import add
from otel_dify.cli.records import Log, Telemetry

_REQUEST = "dify.http.request"
_COMPOSE = re.compile(r"^[\w.-]+\s*\| ?")
_DIFY = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d{3}) (?P<level>[A-Z]+) \[[^\]]*\] "
    r"\[(?P<source>[^\]]*)\] (?P<trace>[0-9a-f]*) ?- (?P<message>.*)"
)
_GUNICORN = re.compile(
    r"\[(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4})\] \[\d+\] \[(?P<level>[A-Z]+)\] "
    r"(?P<message>.*)"
)
_RAISED = re.compile(
    r"(?P<type>[A-Za-z_][\w.]*(?:Error|Exception|Exit|Timeout|Interrupt|Warning))"
    r"(?:: (?P<message>.*))?"
)


def of_json(line: str) -> list[Entry]:
    """Read a line of JSON.

    Args:
        line: begins with a brace.

    Raises:
        ValueError: it is none, or of no format that is known.
    """
    document: dict[str, Any] = json.loads(line)
    if "resourceLogs" in document:
        telemetry = Telemetry()
        add(telemetry, document)
        return [_of_otlp(log) for log in telemetry.logs]
    if document.keys() & {"resourceSpans", "resourceMetrics"}:
        return []
    if "severity" in document and "ts" in document:
        return [_of_dify(document)]
    if "level" in document and "message" in document:
        return [_of_drop_in(document)]
    raise ValueError("no format that is known")


def of_text(line: str) -> Entry | None:
    """Read the first line of an entry of text; none where it is no first line."""
    bare = _COMPOSE.sub("", line)
    if found := _DIFY.match(bare):
        # Dify writes its own time zone, which is UTC unless LOG_TZ says otherwise.
        seconds = _seconds(found["at"].replace(",", "."))
        return Entry(
            *(seconds, level_of(found["level"]), "", found["source"], found["message"]),
            trace_id=found["trace"],
            is_text=True,
        )
    if found := _GUNICORN.match(bare):
        seconds = datetime.strptime(found["at"], "%Y-%m-%d %H:%M:%S %z").timestamp()
        return Entry(
            *(seconds, level_of(found["level"]), "", "gunicorn", found["message"]), is_text=True
        )
    return None


def goes_on(entry: Entry, line: str) -> None:
    """Take a further line of an entry of text: that of a stack names the exception last."""
    if found := _RAISED.fullmatch(_COMPOSE.sub("", line)):
        entry.error_type = found["type"].rpartition(".")[2]


def _of_drop_in(document: Mapping[str, Any]) -> Entry:
    text = _texts(document)
    request = document.get("event") == _REQUEST
    return Entry(
        seconds=_seconds(text("timestamp")),
        level=level_of(text("level")),
        service=text("service"),
        source=text("event") or text("logger"),
        # What went wrong, where that is said apart from what it happened to.
        message=text("error_message") or text("message"),
        error_type=text("error_type") or text("exception"),
        fingerprint=text("dify.error.fingerprint"),
        request=_request(text("method"), text("endpoint") or text("path")) if request else "",
        status=_whole(document.get("response_status")),
        took_s=_number(document.get("response_time")),
        trace_id=text("trace_id"),
        run_id=text("execution_id"),
    )


def _of_otlp(log: Log) -> Entry:
    text = _texts(log.attributes)
    event = text("dify.event.name") or log.source
    return Entry(
        seconds=log.at_ns / 1e9,
        level=level_of(log.severity_text, log.severity),
        service=log.process.service,
        source=event,
        message=text("dify.error.message")
        or (log.body if isinstance(log.body, str) else json.dumps(log.body)),
        error_type=text("error.type") or text("exception.type"),
        fingerprint=text("dify.error.fingerprint"),
        request=_request(text("http.request.method"), text("http.route") or text("url.path"))
        if event == _REQUEST
        else "",
        status=_whole(log.attributes.get("http.response.status_code")),
        took_s=_number(log.attributes.get("dify.elapsed_time")),
        trace_id=log.trace_id,
        run_id=text("dify.workflow.run_id"),
    )


def _of_dify(document: Mapping[str, Any]) -> Entry:
    text = _texts(document)
    entry = Entry(
        seconds=_seconds(text("ts")),
        level=level_of(text("severity")),
        service=text("service"),
        source=text("caller"),
        message=text("message"),
        trace_id=text("trace_id"),
    )
    for line in _last_lines(text("stack_trace")):
        goes_on(entry, line)
    return entry


def _last_lines(stack: str) -> Iterator[str]:
    yield from (line for line in stack.splitlines() if line and not line[0].isspace())


def _texts(document: Mapping[str, Any]) -> Any:
    def text(key: str) -> str:
        value = document.get(key)
        return "" if value is None else value if isinstance(value, str) else json.dumps(value)

    return text


def _request(method: str, route: str) -> str:
    return f"{method} {route}".strip() or "unnamed"


def _seconds(text: str) -> float:
    """Read a time of ISO 8601; 0 where it is none."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _whole(value: object) -> int:
    number = _number(value)
    return 0 if number is None else int(number)


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        return None
