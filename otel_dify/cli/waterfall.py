"""A trace as a waterfall: the tree of its spans beside bars on its time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_dify import table as t
from otel_dify.cli.analysis import analyse, by_span
from otel_dify.cli.failures import name_of, why
from otel_dify.cli.summary import ON_PATH, summary
from otel_dify.cli.tables import body_of, severity
from otel_dify.cli.text import cells, clock, duration, fit, number, plain, price, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from otel_dify.cli.analysis import Analysis
    from otel_dify.cli.records import Event, Log, Process, Span
    from otel_dify.cli.traces import Row, Trace

_EIGHTHS = " ▏▎▍▌▋▊▉"
_OFF_PATH = "░"
_LEAST_BAR = 12
_LEAST_NAME = 24
_GAP = "  "
_STATEMENT = 100
# Statuses that the line shows by its colour already.
_SILENT = ("", "succeeded", "failed")


def waterfall(
    trace: Trace, numbers: Mapping[Process, int], width: int, logs: Sequence[Log] = ()
) -> list[str]:
    """Render a trace as lines of ``width`` cells at most, styled with ANSI codes.

    Above the tree stands what failed, whose trace it is and where the time went. Every span has a
    line (tree, bar, duration, tokens and cost); full blocks of its bar are its part of the critical
    path. Below it its events, each marked on the time axis, the error type and message of a failed
    one, in full, and its log records. Processes appear as ``[n]`` where the trace enters them.

    Args:
        trace: what to show.
        numbers: its processes by number.
        width: cells of a line; below 80 lines may be longer than that.
        logs: log records to show where they were written.
    """
    found = analyse(trace)
    rows = list(trace.rows())
    names = [_name(row, numbers) for row in rows]
    notes = [notes_of(row.span) for row in rows]
    times = [duration(row.span.duration_ns) if row.span.end_ns else "?" for row in rows]
    time_width = max(map(len, times))
    left = width - time_width - max(map(cells, notes)) - 3 * len(_GAP)
    name_width = max(map(cells, names))
    name_width = max(min(name_width, width * 45 // 100, left - _LEAST_BAR), _LEAST_NAME)
    axis = _Axis(found, max(left - name_width, _LEAST_BAR))
    of = by_span(trace, logs)
    lines = summary(found, numbers, width)
    for row, name, time, note in zip(rows, names, times, notes, strict=True):
        line = _GAP.join(
            (
                fit(name, name_width),
                axis.bar(row.span),
                time.rjust(time_width),
                note,
            )
        ).rstrip()
        lines.append(click.style(line, fg="red") if row.span.failed else line)
        lines += _events(row, axis, name_width, width)
        lines += _remarks(row, width)
        lines += _logs(row.below, of[row.span.span_id], width)
    if of[""]:
        lines += ["", click.style("Log records of no span", bold=True), *_logs("", of[""], width)]
    return lines


class _Axis:
    """The time of a trace on a number of cells."""

    def __init__(self, found: Analysis, width: int) -> None:
        self.width = width
        self._path = found.path
        self._start_ns = found.trace.start_ns
        self._span_ns = max(found.trace.end_ns - found.trace.start_ns, 1)

    def _cells(self, at_ns: int) -> float:
        return min(max((at_ns - self._start_ns) / self._span_ns, 0), 1) * self.width

    def bar(self, span: Span) -> str:
        """Draw a span from the cell it starts in to the eighth of a cell it ends in.

        A cell is full where the span had it to itself on the critical path, for half of the time
        that the span has of it at least.
        """
        begins, ends = self._cells(span.start_ns), self._cells(span.end_ns or span.start_ns)
        first = min(int(begins), self.width - 1)
        whole, eighths = divmod(round(ends * 8), 8)
        last = max(whole + bool(eighths), first + 1)
        own = [(self._cells(s.start_ns), self._cells(s.end_ns)) for s in self._path.of(span)]
        drawn = ""
        for cell in range(first, last):
            held = min(ends, cell + 1) - max(begins, cell)
            lit = sum(max(min(e, cell + 1) - max(b, cell), 0) for b, e in own)
            if not own or lit * 2 < held:
                drawn += _OFF_PATH
            elif cell == whole and eighths:
                drawn += _EIGHTHS[eighths]
            else:
                drawn += ON_PATH if cell < whole else "▏"
        return fit(" " * first + drawn, self.width)

    def mark(self, at_ns: int) -> str:
        """Mark a moment."""
        return fit(" " * min(int(self._cells(at_ns)), self.width - 1) + "◆", self.width)


def _name(row: Row, numbers: Mapping[Process, int]) -> str:
    process = f"[{numbers[row.span.process]}] " if row.moved else ""
    return f"{row.lines}{process}{plain(name_of(row.span))}"


def notes_of(span: Span) -> str:
    """Say in short what a span took of models and databases, and how it ended."""
    parts: list[str] = []
    if t.INPUT_TOKENS.key in span.attributes or t.OUTPUT_TOKENS.key in span.attributes:
        spent, written = span.number(t.INPUT_TOKENS.key), span.number(t.OUTPUT_TOKENS.key)
        parts.append(f"{number(spent)}→{number(written)} tok")
    if t.CALL_PRICE.key in span.attributes:
        parts.append(price(span.number(t.CALL_PRICE.key), span.text(t.CALL_CURRENCY.key)))
    if count := span.number(t.DB_QUERIES.key):
        parts.append(f"{number(count)} {'query' if count == 1 else 'queries'}")
    if not span.end_ns:
        parts.append("not ended")
    statuses = (span.text(key) for key in (t.RUN_STATUS.key, t.NODE_STATUS.key))
    parts += (plain(status) for status in statuses if status not in _SILENT)
    return " ".join(parts)


def said(event: Event) -> str:
    """Write the attributes of a span event; a stack is in the log record of its error.

    Statements are cut: they name every column, and are whole in JSON and on the page.
    """
    return "  ".join(
        f"{key.removeprefix('dify.')}={_cut(key, plain(str(value)))}"
        for key, value in sorted(event.attributes.items())
        if key != t.STACK_TRACE.key
    )


def _cut(key: str, text: str) -> str:
    if key == t.DB_STATEMENT.key and len(text) > _STATEMENT:
        return text[: _STATEMENT - 1] + "…"
    return text


def _events(row: Row, axis: _Axis, name_width: int, width: int) -> Iterator[str]:
    for event in row.span.events:
        name = fit(f"{row.below}◆ {plain(event.name)}", name_width)
        marked = f"{name}{_GAP}{axis.mark(event.at_ns)}"
        text = said(event)
        room = width - cells(marked) - len(_GAP)
        if cells(text) <= room:
            yield click.style(f"{marked}{_GAP}{text}".rstrip(), fg="yellow")
        else:
            yield click.style(marked.rstrip(), fg="yellow")
            yield from _hang(row.below, f"  {text}", "yellow", width)


def _remarks(row: Row, width: int) -> Iterator[str]:
    span = row.span
    if cause := why(span):
        sign, colour = ("✗", "red") if span.failed else ("!", "yellow")
        yield from _hang(row.below, f"{sign} {cause}", colour, width)
    if row.stray:
        yield from _hang(row.below, f"? {row.stray}", "yellow", width)
    for link in span.links:
        yield from _hang(row.below, f"↪ follows from trace {link.trace_id}", "cyan", width)


def _logs(below: str, logs: Sequence[Log], width: int) -> Iterator[str]:
    for log in logs:
        colour, level = severity(log)
        first, *rest = body_of(log)
        head = f"{clock(log.at_ns)}  {level.ljust(5)}  {plain(log.source)}  {first}"
        yield from _hang(below, f"≡ {head}", colour, width)
        for line in rest:
            yield from _hang(below, f"    {line}", colour, width)


def _hang(below: str, text: str, colour: str, width: int) -> Iterator[str]:
    """Write a text under a span, later lines indented by two cells."""
    lines = wrap(text, max(width - cells(below) - 2, 20))
    for number_of_line, line in enumerate(lines):
        yield below + ("  " if number_of_line else "") + click.style(line, fg=colour)
