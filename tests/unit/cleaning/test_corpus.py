"""The corpus: no secret leaves by any way, content on or off, and what looks like one stays."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry import baggage
from opentelemetry.context import Context

import otel_dify
from otel_dify import table as t
from otel_dify.cleaning.text import clean
from otel_dify.operations.current import start
from otel_dify.sources.libraries.passing import send_on, take_over
from otel_dify.sources.logging import LogBridge
from tests.recording import Recording, recording
from tests.unit.cleaning.corpus import read, unmarked

HALVES = ("own", "holdout")
LEAST_KEPT = 0.95
"""Part of the look-alikes that must stay as they are."""
SEEDS = 5
"""How many times the forms are filled anew: what is random must not matter."""


def span_attribute(text: str, _recorded: Recording) -> None:
    """Set attributes of any name, of the table and on spans of others."""
    with otel_dify.observe("lookup", attributes={"note": text}) as observed:
        observed.set_attribute("several", [text, json.dumps({"text": text})])
    operation = start(t.NODE, {t.NODE_TITLE: text, t.NODE_ERROR: text})
    operation.end()


def span_name(text: str, recorded: Recording) -> None:
    """Name spans, ours and those of others."""
    with otel_dify.observe(text):
        pass
    recorded.tracer.start_span(text).end()


def span_event(text: str, recorded: Recording) -> None:
    """Note happenings."""
    operation = start(t.RUN)
    operation.happened("retry", {t.ERROR_MESSAGE: text})
    operation.recover(text, "Retry")
    operation.end()
    span = recorded.tracer.start_span("theirs")
    span.add_event(text, {"text": text})
    span.end()


def content(text: str, _recorded: Recording) -> None:
    """Have it among inputs and answers, alone and within JSON."""
    inputs = {"query": text, "nested": [{"json": json.dumps({"text": text})}]}
    start(t.NODE, {t.NODE_INPUTS: inputs, t.NODE_OUTPUTS: text}).end()


def log_body(text: str, recorded: Recording) -> None:
    """Log it, as the text and among what is put on a record besides."""
    bridge = LogBridge(logging.DEBUG, lambda: recorded.signals.lines, content=True)
    record = logging.makeLogRecord(
        {"name": "dify", "msg": "%s", "args": (text,), "levelno": logging.INFO, "note": text}
    )
    bridge._on_record(record)


def exception(text: str, recorded: Recording) -> None:
    """Fail with it, and log the failure with its stack."""
    bridge = LogBridge(logging.DEBUG, lambda: recorded.signals.lines)
    operation = start(t.RUN)
    try:
        _raise(text)
    except ValueError as error:
        operation.fail(error)
        caught = (type(error), error, error.__traceback__)
        given = {"name": "dify", "msg": "failed", "exc_info": caught, "levelno": logging.ERROR}
        bridge._on_record(logging.makeLogRecord(given))
    operation.end()
    with pytest.raises(ValueError, match=r"."), recorded.tracer.start_as_current_span("theirs"):
        _raise(text)


def _raise(text: str) -> None:
    raise ValueError(text)


def sql(text: str, recorded: Recording) -> None:
    """Have it in a statement: as a value, in a comment, and in the message of the database."""
    span = recorded.tracer.start_span("SELECT")
    literal = text.replace("'", "''")
    span.set_attribute("db.statement", f"SELECT * FROM t WHERE a = '{literal}' -- {text}")  # noqa: S608 - run by nobody
    span.end()
    operation = start(t.QUERY, at_ns=1)
    operation.set(t.DB_STATEMENT, f"SELECT 1 /* {text} */")
    operation.fail(f"syntax error at or near {text!r}")
    operation.end(10**10)


def url(text: str, recorded: Recording) -> None:
    """Call an address with it in path, query and fragment, and be called by one."""
    escaped = quote(text, safe="")
    start(t.HTTP_CALL, {t.URL_FULL: f"https://host/{escaped}"}).end()
    span = recorded.tracer.start_span("GET")
    span.set_attribute("url.full", f"https://host/{escaped}?page=2&q={escaped}#{escaped}")
    span.end()
    start(t.REQUEST, {t.URL_PATH: f"/v1/{escaped}", t.USER_AGENT: text}).end()


def through_baggage(text: str, _recorded: Recording) -> None:
    """Be told it by a caller in place of ids, and call others."""
    context = Context()
    for attribute in t.CARRIED:
        context = baggage.set_baggage(attribute.key, text, context)
    operation = start(t.REQUEST, {t.REQUEST_ID: text}, parent=context)
    take_over(operation)
    headers: dict[str, str] = {}
    send_on(operation, headers, inside=False)
    assert "baggage" not in headers
    operation.end()


def metric_label(text: str, _recorded: Recording) -> None:
    """Call a model, an app and a tool of that name."""
    operation = start(t.RUN, {t.APP_NAME: text})
    model = {t.OPERATION_NAME: "chat", t.REQUEST_MODEL: text, t.DIFY_PROVIDER: text}
    start(t.MODEL_CALL, model, parent=operation.context).end()
    start(t.TOOL_CALL, {t.TOOL_NAME: text}, parent=operation.context).end()
    operation.end()


WAYS: tuple[Callable[[str, Recording], None], ...] = (
    span_attribute,
    span_name,
    span_event,
    content,
    log_body,
    exception,
    sql,
    url,
    through_baggage,
    metric_label,
)


def texts_of(value: Any) -> Iterator[str]:
    """Find every text in a value of any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts_of(key)
            yield from texts_of(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_of(inner)


def texts_in(recorded: Recording) -> Iterator[str]:
    """Find every text in all three signals."""
    for span in recorded.spans:
        yield span.name
        yield span.status.description or ""
        yield from texts_of(span.attributes)
        for event in span.events:
            yield event.name
            yield from texts_of(event.attributes)
    for record in recorded.told:
        yield str(record.body)
        yield from texts_of(record.attributes)
    for metric in recorded.metrics():
        for point in metric.data.data_points:
            yield from texts_of(point.attributes)


def leaks(secrets: list[str], texts: Iterator[str]) -> list[str]:
    """Return the texts that hold a secret, as it is, within JSON, or percent-encoded."""
    forms = {form for one in secrets for form in (one, json.dumps(one)[1:-1], quote(one, safe=""))}
    return [text for text in texts if any(form in text for form in forms)]


@pytest.mark.parametrize("mode", ["no_content", "span_and_event"])
@pytest.mark.parametrize("way", WAYS)
def test_no_secret_leaves(way: Callable[[str, Recording], None], mode: str) -> None:
    found: list[str] = []
    for half in HALVES:
        for line in read(half, "secrets"):
            text, secrets = unmarked(line)
            with recording(mode) as recorded:
                way(text, recorded)
                texts = list(texts_in(recorded))
            assert texts
            found += leaks(secrets, iter(texts))
    assert found == []


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_secret_is_left_by_chance(seed: int) -> None:
    lines = [unmarked(line) for half in HALVES for line in read(half, "secrets", seed)]
    assert [found for text, secrets in lines for found in leaks(secrets, iter([clean(text)]))] == []


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("half", HALVES)
def test_what_looks_like_a_secret_stays(half: str, seed: int) -> None:
    lines = read(half, "lookalikes", seed)
    kept = [line for line in lines if clean(line) == line]
    assert len(kept) >= LEAST_KEPT * len(lines), set(lines) - set(kept)


def test_there_are_enough_of_both() -> None:
    """At least 80 of each, half of them not looked at while the patterns were written."""
    for sort in ("secrets", "lookalikes"):
        own, holdout = (len(read(half, sort)) for half in HALVES)
        assert own + holdout >= 80
        assert holdout >= 40


def test_cleaning_twice_changes_nothing_more() -> None:
    """Texts pass here more than once: an error's message is in its log line as well."""
    for half in HALVES:
        for line in read(half, "secrets"):
            once = clean(unmarked(line)[0])
            assert clean(once) == once
