"""Backfilling: sending what Dify's database has of the past, as traces.

It runs beside Dify, in a process of its own, and writes nothing into the database. Spans alone are
written: points of the past would falsify counters, and log backends refuse old records or keep them
twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from otel_dify.backfilling.progress import State
from otel_dify.backfilling.sending import Sending, StuckError, settings_for
from otel_dify.sources.history import rows
from otel_dify.sources.history.database import Database, Page, Row
from otel_dify.sources.history.rows import Apps, Run
from otel_dify.sources.history.telling import Teller

__all__ = [
    "Backfill",
    "Rate",
    "Report",
    "Sending",
    "State",
    "StuckError",
    "backfill",
    "settings_for",
]

PAGE = 50
"""Runs that are read at once, each with all its nodes."""
OPEN_NS = 24 * 3600 * 10**9
"""What says that it runs is taken to have been killed when it began so long ago."""
_SORTS = ("runs", "messages", "drafts")


class Live(Protocol):
    """Knows what has live telemetry."""

    def has(self, identity: str, start_ns: int, end_ns: int) -> bool:
        """Tell whether a run, message or node execution has it, by its id."""


class Rate:
    """Lets so many pass in a second.

    Args:
        a_second: how many.
        clock: seconds, which only go on.
        sleep: waits so many seconds.
    """

    def __init__(
        self, a_second: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._each_s = 1 / a_second
        self._clock = clock
        self._sleep = sleep
        self._next = clock()

    def wait(self) -> None:
        """Wait until the next may pass; time in which none wanted to is not saved up."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._each_s


@dataclass
class Report:
    """What was done.

    Attributes:
        runs: runs told.
        nodes: node executions told in them.
        messages: messages told, those of runs included.
        drafts: draft nodes told.
        live: what has live telemetry, and was left out.
        waiting: what has not ended yet, and was left out.
    """

    runs: int = 0
    nodes: int = 0
    messages: int = 0
    drafts: int = 0
    live: int = 0
    waiting: int = 0


class Backfill:
    """Tells what a window of Dify's database has.

    Attributes:
        report: what was done so far.

    Args:
        database: Dify's.
        teller: makes operations of rows; none for a trial, which counts alone.
        live: knows what has live telemetry.
        rate: how fast.
        flush: sends what waits.
        now_ns: what time it is.
    """

    def __init__(
        self,
        database: Database,
        *,
        teller: Teller | None,
        live: Live,
        rate: Rate,
        flush: Callable[[], None],
        now_ns: int,
    ) -> None:
        self._database = database
        self._teller = teller
        self._live = live
        self._rate = rate
        self._flush = flush
        self._open_since = now_ns - OPEN_NS
        self.report = Report()

    def window(
        self, since_ns: int, until_ns: int, app: str | None, state: State, size: int = PAGE
    ) -> Iterator[Report]:
        """Tell all of a window; yields what was done, page by page.

        Raises:
            DatabaseError: Dify's database cannot be read.
            StuckError: the Collector takes nothing.
        """
        since, until = moment(since_ns), moment(until_ns)
        told: tuple[tuple[Any, Any], ...] = (
            (rows.runs, self._run),
            (rows.messages, self._message),
            (rows.drafts, self._draft),
        )
        for sort, (read, tell) in zip(_SORTS, told, strict=True):
            while True:
                page = Page(since, until, state.after(sort), size, app)
                found = read(self._database, page)
                if not found:
                    break
                for one in found:
                    tell(one)
                self._flush()
                last = found[-1]
                state.sent(sort, last.row if isinstance(last, Run) else last)
                yield self.report

    def _run(self, run: Run) -> None:
        row = run.row
        start, end = rows.span_of(row)
        if row["status"] == "paused" or (row["status"] == "running" and start > self._open_since):
            self.report.waiting += 1
        elif self._let_in(row["id"], start, end or start):
            self.report.runs += 1
            self.report.nodes += len(run.nodes)
            self.report.messages += len(run.messages)
            if self._teller is not None:
                self._teller.run(run)

    def _message(self, row: Row) -> None:
        if self._let_in(row["id"], *rows.of_message(row)):
            self.report.messages += 1
            if self._teller is not None:
                self._teller.message(row)

    def _draft(self, row: Row) -> None:
        start, end = rows.span_of(row)
        identity = row.get("node_execution_id") or row["id"]
        if self._let_in(identity, start, end or start):
            self.report.drafts += 1
            if self._teller is not None:
                self._teller.draft(row)

    def _let_in(self, identity: str, start_ns: int, end_ns: int) -> bool:
        if self._live.has(identity, start_ns, end_ns):
            self.report.live += 1
            return False
        if self._teller is not None:
            self._rate.wait()
        return True


def backfill(database: Database, sending: Sending | None, **how: Any) -> Backfill:
    """Make what backfills; without something to send by it only counts."""
    teller = None
    if sending is not None:
        teller = Teller(sending.recorder, sending.ids, Apps(database))
    flush = _nothing_waits if sending is None else sending.flush
    return Backfill(database, teller=teller, flush=flush, **how)


def moment(at_ns: int) -> datetime:
    """Return a moment as Dify's columns have it: UTC, without a zone."""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).replace(tzinfo=None)


def report_of(report: Report) -> dict[str, int]:
    """Return a report as a document."""
    return asdict(report)


def _nothing_waits() -> None:
    """A trial sends nothing."""
