"""Reading log files of any size: a line at a time, compressed or not."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from otel_dify.cli.logs.entry import Entry
from otel_dify.cli.logs.formats import goes_on, of_json, of_text

LONGEST = 1 << 20
"""Bytes of a line that are read; what is longer is counted as unreadable, and not kept."""


class Reading:
    """One file.

    Attributes:
        path: its path; ``-`` is standard input.
        unreadable: lines of no format that is known.
        first: number of the first of them, from 1.

    Args:
        path: its path.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self.first = 0

    def entries(self) -> Iterator[Entry]:
        """Read its entries, one after the other.

        Raises:
            OSError: it cannot be read, or is no gzip although its name says so.
        """
        if str(self.path) == "-":
            yield from self._entries(sys.stdin.buffer)
            return
        opened = gzip.open if self.path.suffix == ".gz" else open
        with opened(self.path, "rb") as file:
            yield from self._entries(cast("BinaryIO", file))

    def _entries(self, file: BinaryIO) -> Iterator[Entry]:
        # Of text an entry is known to its end with the next one.
        begun: Entry | None = None
        for number, line in enumerate(_lines(file), start=1):
            if line is not None and not line.strip():
                continue
            found = self._found(line, number, begun)
            if found is None:
                continue
            if begun is not None:
                yield begun
            *whole, begun = found
            yield from whole
        if begun is not None:
            yield begun

    def _found(self, line: str | None, number: int, begun: Entry | None) -> list[Entry] | None:
        """Read the entries that begin in a line; none where that before it may go on."""
        if line is not None and line.startswith("{"):
            try:
                return of_json(line) or None
            except (ValueError, TypeError, AttributeError, KeyError):
                self._leave_out(number)
                return None
        entry = None if line is None else of_text(line)
        if entry is not None:
            return [entry]
        if line is None or begun is None or not begun.is_text:
            self._leave_out(number)
        else:
            goes_on(begun, line)
        return None

    def _leave_out(self, number: int) -> None:
        self.unreadable += 1
        self.first = self.first or number


def _lines(file: BinaryIO) -> Iterator[str | None]:
    """Read lines without their ends; none in place of one that is too long."""
    while line := file.readline(LONGEST):
        if len(line) < LONGEST or line.endswith(b"\n"):
            yield line.decode(errors="replace").rstrip("\r\n")
            continue
        while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass
        yield None
