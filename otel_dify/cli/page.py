"""A run as one page: it asks for nothing else, and runs nothing.

It has no script. Its policy (a Content-Security-Policy in a ``meta`` element) allows one style
sheet, named by its hash, and nothing else: no request, no script, no image, no form. Bars are SVG,
since that policy forbids ``style`` attributes as well. All text is escaped in ``markup.py``.
"""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from otel_dify.cli.analysis import by_span
from otel_dify.cli.failures import name_of, why
from otel_dify.cli.markup import Markup, element
from otel_dify.cli.spending import Where, where_of
from otel_dify.cli.summary import most, queries, usage_of
from otel_dify.cli.tables import body_of, severity
from otel_dify.cli.text import clock, duration
from otel_dify.cli.waterfall import notes_of, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_dify.cli.analysis import Analysis
    from otel_dify.cli.failures import Failure
    from otel_dify.cli.records import Log, Process, Span
    from otel_dify.cli.spending import Spent

_WIDE = 1000
"""Units of a bar."""
_LEAST = 2.0


def page_of(found: Sequence[Analysis], logs: Sequence[Log]) -> str:
    """Write the page of a run.

    Args:
        found: its traces and what is told of them; several where it was paused.
        logs: their log records; nothing where nobody has asked for them.
    """
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    first = found[0].trace
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{first.title} {first.status} {clock(first.start_ns, date=True)}"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        *(part for one in found for part in _trace(one, logs)),
        element("footer", "Written by otel-dify view --html. Times are UTC."),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


@lru_cache
def _style() -> str:
    return files("otel_dify.cli").joinpath("page.css").read_text(encoding="utf-8")


def _trace(found: Analysis, logs: Sequence[Log]) -> Iterator[Markup]:
    trace = found.trace
    failed = trace.status == "failed"
    yield element(
        "h1",
        trace.title,
        element("span", trace.status, class_="status failed" if failed else "status"),
    )
    for one in found.failures:
        yield _failure(one)
    numbers = {process: number for number, process in enumerate(trace.processes, start=1)}
    yield element("dl", *_facts(found, numbers))
    yield element("h2", f"Where the time went: {duration(found.path.duration_ns)}")
    yield from _where(found.spent)
    yield element("h2", "Every step")
    yield element(
        "p",
        "In these colours each step is on the critical path: nothing else was waited for. A click "
        "on a step shows its attributes.",
        class_="quiet",
    )
    of = by_span(trace, logs)
    yield _tree(found, of, numbers)
    if of[""]:
        yield element("h2", "Log records of no span")
        yield from (_log(log) for log in of[""])


def _failure(one: Failure) -> Markup:
    said = " failed, and the run went on: " if one.recovered else " failed: "
    place = [element("div", f"in {' → '.join(one.place)}", class_="place")] if one.place else []
    return element(
        "div",
        element("b", one.span.name),
        said,
        one.why,
        *place,
        class_="failure recovered" if one.recovered else "failure",
        role="alert",
    )


def _facts(found: Analysis, numbers: Mapping[Process, int]) -> Iterator[Markup]:
    trace = found.trace
    failed = f", {trace.failed} failed" if trace.failed else ""
    facts = [
        *(("run", run) for run in trace.runs),
        *(("message", message) for message in trace.messages),
        ("trace", trace.id),
        ("start", f"{clock(trace.start_ns, date=True)} UTC"),
        ("duration", duration(trace.end_ns - trace.start_ns)),
        ("spans", f"{len(trace.spans)}{failed}"),
        ("models", usage_of(trace)),
        ("database", queries(found.queries) if found.queries.number else ""),
        *((f"process {numbers[p]}", p.label) for p in trace.processes),
    ]
    for name, value in facts:
        if value:
            yield element("dt", name)
            yield element("dd", value)


def _class_of(where: Where) -> str:
    return where.name.lower()


def _where(spent: Sequence[Spent]) -> Iterator[Markup]:
    at, parts = 0, []
    for one in spent:
        title = element("title", f"{one.where} {one.share / 10:.1f} %")
        shape = {"x": at, "y": 0, "width": one.share, "height": 1}
        parts.append(element("g", title, element("rect", **shape), class_=_class_of(one.where)))
        at += one.share
    yield _svg(*parts, height=1, class_="whole")
    yield element(
        "table",
        *(
            element(
                "tr",
                element("td", _key(one.where)),
                element("td", one.where.value, class_="word"),
                element("td", duration(one.ns), class_="number"),
                element("td", f"{one.share / 10:.1f} %", class_="number"),
                element("td", most(one), class_="quiet"),
            )
            for one in spent
        ),
    )


def _key(where: Where) -> Markup:
    square = element("rect", x=0, y=0, width=_WIDE, height=1)
    return _svg(element("g", square, class_=_class_of(where)), height=1, class_="key")


def _svg(*children: Markup, height: int, class_: str = "") -> Markup:
    return element(
        "svg",
        *children,
        viewBox=f"0 0 {_WIDE} {height}",
        preserveAspectRatio="none",
        class_=class_ or False,
        aria_hidden="true",
    )


def _tree(
    found: Analysis, logs: Mapping[str, Sequence[Log]], numbers: Mapping[Process, int]
) -> Markup:
    """Make nested lists of the spans, from the last: a trace may be deeper than Python recurses."""
    rows = list(found.trace.rows())
    bars = _Bars(found)
    below: dict[str, list[Markup]] = defaultdict(list)
    for row in reversed(rows):
        span = row.span
        items = below.pop(span.span_id, [])
        item = element(
            "li",
            element(
                "details",
                element(
                    "summary",
                    _name(span, numbers[span.process] if row.moved else None),
                    bars.of(span),
                    element("span", _took(span), class_="time"),
                    element("span", notes_of(span), class_="notes", title=notes_of(span)),
                ),
                _attributes(span),
                class_="span failed" if span.failed else "span",
            ),
            *_remarks(span, row.stray),
            *(_log(log) for log in logs.get(span.span_id, ())),
            *([element("ul", *reversed(items))] if items else []),
        )
        below["" if row.parent is None else row.parent.span_id].append(item)
    return element("ul", *reversed(below[""]))


def _took(span: Span) -> str:
    return duration(span.duration_ns) if span.end_ns else "not ended"


def _name(span: Span, process: int | None) -> Markup:
    entered = [element("span", f"[{process}] ", class_="process")] if process else []
    return element("span", *entered, name_of(span), class_="name", title=name_of(span))


class _Bars:
    """The bars of a trace, on its time axis."""

    def __init__(self, found: Analysis) -> None:
        self._path = found.path
        self._start_ns, self._end_ns = found.trace.start_ns, found.trace.end_ns
        self._whole_ns = max(self._end_ns - self._start_ns, 1)

    def of(self, span: Span) -> Markup:
        """Draw a span: all of it, and over that its parts of the critical path."""
        class_ = _class_of(where_of(span, self._path.parents)[0])
        ends_ns = max(span.end_ns or self._end_ns, span.start_ns)
        own = (self._part(one.start_ns, one.end_ns, class_) for one in self._path.of(span))
        return _svg(self._part(span.start_ns, ends_ns, "off"), *own, height=14)

    def _part(self, begin_ns: int, end_ns: int, class_: str) -> Markup:
        width = max((end_ns - begin_ns) / self._whole_ns * _WIDE, _LEAST)
        at = min((begin_ns - self._start_ns) / self._whole_ns * _WIDE, _WIDE - width)
        x, wide = f"{at:.2f}", f"{width:.2f}"
        return element("rect", x=x, y=2, width=wide, height=10, class_=class_)


def _remarks(span: Span, stray: str) -> Iterator[Markup]:
    if cause := why(span):
        yield element("div", cause, class_="why" if span.failed else "why recovered")
    if stray:
        yield element("div", stray, class_="event")
    for event in span.events:
        whole = "\n".join(f"{key}={value}" for key, value in sorted(event.attributes.items()))
        text = f"{clock(event.at_ns)}  {event.name}  {said(event)}"
        yield element("div", text, class_="event", title=whole)
    for link in span.links:
        yield element("div", f"follows from trace {link.trace_id}", class_="event")


def _attributes(span: Span) -> Markup:
    rows = [("span id", span.span_id), *sorted(span.attributes.items())]
    return element(
        "table",
        *(
            element("tr", element("td", key), element("td", str(value), class_="mono"))
            for key, value in rows
        ),
        class_="attributes",
    )


def _log(log: Log) -> Markup:
    _, level = severity(log)
    first, *rest = body_of(log)
    head = element("div", f"{clock(log.at_ns)}  {level}  {log.source}  ", element("span", first))
    stack = [element("pre", "\n".join(rest))] if rest else []
    return element("div", head, *stack, class_=f"log {level.strip().lower()}" if level else "log")
