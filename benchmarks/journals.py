"""The journal alone: a mapped segment against a file that is written to, and a backlog to drain."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol

from benchmarks.export_items import RESOURCE, SCOPE
from benchmarks.measuring import Measured, Telemetry, measure
from otel_dify.export.encoding.request import encode_resource, encode_scope
from otel_dify.export.encoding.spans import SpanEncoder
from otel_dify.export.journal.frames import Sort, frame
from otel_dify.export.journal.journal import Journal
from otel_dify.export.journal.place import Home
from otel_dify.export.journal.segment import SIZE, Segment
from otel_dify.export.outlets import JournalSpans, SpanData
from otel_dify.export.own import BATCH, OwnExport
from otel_dify.process import process
from otel_dify.settings import STATE_PATH, Settings

RECORD = os.urandom(700)
"""As long as a span of 15 attributes."""
THREADS = 4
BACKLOG = 100_000
"""Spans of a backlog."""


class Log(Protocol):
    """Takes records."""

    def append(self, record: bytes) -> None:
        """Take one: a process that is killed afterwards does not lose it."""


class Mapped:
    """Copies records into a mapped segment, which begins again where it is full."""

    def __init__(self, folder: Path) -> None:
        self._segment = Segment.make(folder / "mapped.segment", 1)

    def append(self, record: bytes) -> None:
        """Take a record."""
        with process.counting:
            if not self._segment.append(Sort.RECORD, 1, record):
                self._segment.begin_again(1)
                self._segment.append(Sort.RECORD, 1, record)


class Written:
    """Writes records to a file with ``write(2)``, from the start again where it is full."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder / "written.segment", os.O_RDWR | os.O_CREAT, 0o600)
        self._written = 0

    def append(self, record: bytes) -> None:
        """Take a record."""
        with process.counting:
            content = frame(Sort.RECORD, 1, record)
            if self._written + len(content) > SIZE:
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                self._written = 0
            self._written += os.write(self._descriptor, content)


class Whole:
    """The journal as it is: records go in one by one and out in batches, as if sent at once."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder, "bench", encode_resource(RESOURCE))
        self._journal = Journal("traces", home, 64 << 20, BATCH)
        self._journal.full = self._send
        self._scope = self._journal.scope(encode_scope(SCOPE))

    def append(self, record: bytes) -> None:
        """Take a record."""
        self._journal.append(self._scope, record)

    def _send(self) -> None:
        while (batch := self._journal.take()) is not None:
            batch.body()
            self._journal.acknowledge(batch)
            self._journal.release()


LOGS: dict[str, Callable[[Path], Log]] = {"mapped": Mapped, "written": Written, "whole": Whole}


def journal(variant: str) -> Iterator[tuple[str, Measured]]:
    """Measure a record that is appended, by one thread and by several."""
    folder = Settings()[STATE_PATH] / f"journal-alone-{os.getpid()}"
    folder.mkdir(mode=0o700, parents=True)
    append = LOGS[variant](folder).append

    def work(number: int) -> None:
        for _ in range(number):
            append(RECORD)

    def work_by_threads(number: int) -> None:
        each = -(-number // THREADS)
        threads = [threading.Thread(target=work, args=(each,)) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    yield "1 thread", measure(Telemetry(), work)
    if variant != "whole":  # one thread sends
        yield f"{THREADS} threads", measure(Telemetry(), work_by_threads)


def backlog(spans: Sequence[tuple[Any, ...]], make: Callable[[str], OwnExport]) -> int:
    """Leave spans in the journal of a process that is dead; return how many.

    Args:
        spans: as our writer of spans hands them on.
        make: makes what sends a signal.
    """
    if (child := os.fork()) == 0:
        journal = make("traces").journal("traces")
        # Nothing begins to send: that is left to whoever finds it.
        take = JournalSpans(SpanEncoder(), journal, SCOPE, _nothing).span
        for span in islice(cycle(spans), BACKLOG):
            take(SpanData._make(span))
        os._exit(0)
    os.waitpid(child, 0)
    return BACKLOG


def _nothing() -> None:
    """Send nothing."""
