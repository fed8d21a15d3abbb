"""A trace as a waterfall: the tree of its spans beside bars on its time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from otel_dify import table as t
from otel_dify.cli.text import cells, clock, duration, fit, number, plain, price, wrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from otel_dify.cli.records import Process, Span
    from otel_dify.cli.traces import Row, Trace

_EIGHTHS = " ▏▎▍▌▋▊▉"
_LEAST_BAR = 12
_LEAST_NAME = 24
_GAP = "  "
# Statuses that the line shows by its colour already.
_SILENT = ("", "succeeded", "failed")
# Spans of these names differ by their index only.
_COUNTED = (t.ITEM.span_name, t.PASS.span_name)


def waterfall(trace: Trace, numbers: Mapping[Process, int], width: int) -> list[str]:
    """Render a trace as lines of ``width`` cells at most, styled with ANSI codes.

    Every span has a line (tree, bar, duration, tokens and cost); below it its events, each marked
    on the time axis, and the error type and message of a failed one, in full. Processes appear as
    ``[n]`` where the trace enters them.

    Args:
        trace: what to show.
        numbers: its processes by number.
        width: cells of a line; below 80 lines may be longer than that.
    """
    rows = list(trace.rows())
    names = [_name(row, numbers) for row in rows]
    notes = [_notes(row.span) for row in rows]
    times = [duration(row.span.duration_ns) if row.span.end_ns else "?" for row in rows]
    time_width = max(map(len, times))
    left = width - time_width - max(map(cells, notes)) - 3 * len(_GAP)
    name_width = max(map(cells, names))
    name_width = max(min(name_width, width * 45 // 100, left - _LEAST_BAR), _LEAST_NAME)
    axis = _Axis(trace, max(left - name_width, _LEAST_BAR))
    lines = _header(trace, numbers, width)
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
    return lines


class _Axis:
    """The time of a trace on a number of cells."""

    def __init__(self, trace: Trace, width: int) -> None:
        self.width = width
        self._start_ns = trace.start_ns
        self._span_ns = max(trace.end_ns - trace.start_ns, 1)

    def _cells(self, at_ns: int) -> float:
        return min(max((at_ns - self._start_ns) / self._span_ns, 0), 1) * self.width

    def bar(self, span: Span) -> str:
        """Draw a span from the cell it starts in to the eighth of a cell it ends in."""
        first = min(int(self._cells(span.start_ns)), self.width - 1)
        whole, eighths = divmod(round(self._cells(span.end_ns or span.start_ns) * 8), 8)
        drawn = "█" * (whole - first) + (_EIGHTHS[eighths] if eighths and whole >= first else "")
        return fit(" " * first + (drawn or "▏"), self.width)

    def mark(self, at_ns: int) -> str:
        """Mark a moment."""
        return fit(" " * min(int(self._cells(at_ns)), self.width - 1) + "◆", self.width)


def _header(trace: Trace, numbers: Mapping[Process, int], width: int) -> list[str]:
    colour = {"succeeded": "green", "failed": "red"}.get(trace.status, "yellow")
    status = click.style(trace.status, fg=colour, bold=True)
    took = duration(trace.end_ns - trace.start_ns)
    lines = [click.style(line, bold=True) for line in wrap(trace.title, width)]
    lines += [f"run    {plain(run)}" for run in trace.runs]
    lines.append(f"trace  {trace.id}  {clock(trace.start_ns, date=True)} UTC")
    failed = f", {trace.failed} failed" if trace.failed else ""
    spent, written = trace.tokens()
    prices = [price(amount, unit) for unit, amount in trace.cost().items()]
    usage = [f"tokens {spent} in, {written} out", *prices] if spent or written else prices
    lines.append(f"       {status} in {took}; {len(trace.spans)} spans{failed}")
    lines += [f"       {'; '.join(usage)}"] if usage else []
    lines += [f"[{numbers[p]}]    {plain(p.label)}" for p in trace.processes]
    return [*lines, ""]


def _name(row: Row, numbers: Mapping[Process, int]) -> str:
    process = f"[{numbers[row.span.process]}] " if row.moved else ""
    index = row.span.attributes.get(t.INDEX.key)
    place = f" {index}" if index is not None and row.span.name in _COUNTED else ""
    return f"{row.lines}{process}{plain(row.span.name)}{place}"


def _notes(span: Span) -> str:
    parts: list[str] = []
    if t.INPUT_TOKENS.key in span.attributes or t.OUTPUT_TOKENS.key in span.attributes:
        spent, written = span.number(t.INPUT_TOKENS.key), span.number(t.OUTPUT_TOKENS.key)
        parts.append(f"{number(spent)}→{number(written)} tok")
    if t.CALL_PRICE.key in span.attributes:
        parts.append(price(span.number(t.CALL_PRICE.key), span.text(t.CALL_CURRENCY.key)))
    if count := span.number(t.DB_QUERIES.key):
        parts.append(f"{number(count)} queries")
    if not span.end_ns:
        parts.append("not ended")
    statuses = (span.text(key) for key in (t.RUN_STATUS.key, t.NODE_STATUS.key))
    parts += (plain(status) for status in statuses if status not in _SILENT)
    return " ".join(parts)


def _events(row: Row, axis: _Axis, name_width: int, width: int) -> Iterator[str]:
    for event in row.span.events:
        name = fit(f"{row.below}◆ {plain(event.name)}", name_width)
        marked = f"{name}{_GAP}{axis.mark(event.at_ns)}"
        # A stack is in the log record of its error, with its line breaks.
        said = "  ".join(
            f"{key.removeprefix('dify.')}={plain(str(value))}"
            for key, value in event.attributes.items()
            if key != "exception.stacktrace"
        )
        room = width - cells(marked) - len(_GAP)
        if cells(said) <= room:
            yield click.style(f"{marked}{_GAP}{said}".rstrip(), fg="yellow")
        else:
            yield click.style(marked.rstrip(), fg="yellow")
            yield from _hang(row.below, f"  {said}", "yellow", width)


def _remarks(row: Row, width: int) -> Iterator[str]:
    span = row.span
    if span.failed:
        kind = span.text(t.ERROR_TYPE.key)
        message = span.text(t.ERROR_MESSAGE.key) or span.message
        cause = ": ".join(filter(None, (kind, message))) or "failed"
        yield from _hang(row.below, f"✗ {cause}", "red", width)
    if row.stray:
        yield from _hang(row.below, f"? {row.stray}", "yellow", width)
    for link in span.links:
        yield from _hang(row.below, f"↪ follows from trace {link.trace_id}", "cyan", width)


def _hang(below: str, text: str, colour: str, width: int) -> Iterator[str]:
    """Write a text under a span, later lines indented by two cells."""
    lines = wrap(text, max(width - cells(below) - 2, 20))
    for number_of_line, line in enumerate(lines):
        yield below + ("  " if number_of_line else "") + click.style(line, fg=colour)
