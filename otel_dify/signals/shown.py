"""What a process shows beside its metrics: last readings of its gauges, and its slow queries.

It lies in a mapped file of the process's slot, as its counters do (``cells.py``), for who looks
from outside: `otel-dify health` reads it, and nothing in Dify has to listen or answer for that. A
slow query or a collection of gauges costs a few stores.

An entry is a gauge (its value and when it was read) or a query (number, failed, seconds, slowest,
when it came last). Its description is JSON: ``["gauge", name, labels]`` or ``["query", system,
namespace, operation, text]``. Times are seconds since the epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.process import process
from otel_dify.signals.cells import Cells, Entry

if TYPE_CHECKING:
    from otel_dify.cleaning.values import Value

GAUGES = 256
"""Readings that are kept; further ones are in the metrics alone."""
QUERIES = 128
"""Queries of different text that are kept; further ones are counted together, without a text."""
GAUGE, QUERY = "gauge", "query"
_VALUE, _READ_AT = range(2)
_NUMBER, _FAILED, _SECONDS, _SLOWEST, _LAST = range(5)
_LABELS = (t.DB_SYSTEM.key, t.DB_NAMESPACE.key, t.DB_OPERATION.key)


class Shown:
    """What this process shows.

    Until its file is there, and in a forked child until it has one of its own, nothing is kept.
    """

    def __init__(self) -> None:
        self._cells: Cells | None = None
        self._entries: dict[bytes, Entry] = {}
        self._kept = {GAUGE: 0, QUERY: 0}

    def begin(self, cells: Cells) -> None:
        """Keep all in these cells, and go on with the queries that another process has left."""
        self.forked()
        for entry in cells.entries:
            is_gauge = entry.description.startswith(b'["gauge"')
            if len(entry.cells) != (_READ_AT if is_gauge else _LAST) + 1:  # of another version
                continue
            if is_gauge:
                # Its place is gone on with, and its reading was the other process's.
                entry.cells[_READ_AT] = 0.0
            self._entries[entry.description] = entry
            self._kept[GAUGE if is_gauge else QUERY] += 1
        self._cells = cells

    def gauge(self, name: str, labels: Mapping[str, str], value: float, at_s: float) -> None:
        """Keep a reading of a gauge."""
        entry = self._entry(GAUGE, GAUGES, (name, sorted(labels.items())), 2)
        if entry is not None:
            entry.cells[_VALUE], entry.cells[_READ_AT] = value, at_s

    def query(
        self, known: Mapping[str, Value], seconds: float, at_s: float, *, failed: bool
    ) -> None:
        """Count a slow query.

        Args:
            known: its attributes, clean.
            seconds: what it took.
            at_s: when it ended.
            failed: whether it raised.
        """
        text = str(known.get(t.DB_STATEMENT.key, ""))
        if not text:
            return
        labels = [str(known.get(key, "")) for key in _LABELS]
        entry = self._entry(QUERY, QUERIES, (*labels, text), _LAST + 1)
        if entry is None:
            entry = self._entry(QUERY, QUERIES + 1, ("", "", "", ""), _LAST + 1)
        if entry is None:
            return
        with process.counting:
            cells = entry.cells
            cells[_NUMBER] += 1.0
            cells[_FAILED] += failed
            cells[_SECONDS] += seconds
            cells[_SLOWEST] = max(cells[_SLOWEST], seconds)
            cells[_LAST] = max(cells[_LAST], at_s)
        # What nothing was added to for a day is forgotten by the next process of the slot.
        entry.note_change(int(at_s * 1e9))

    def _entry(self, sort: str, most: int, words: tuple[object, ...], size: int) -> Entry | None:
        """Find an entry, made where there is room for one more of its sort."""
        described = json.dumps((sort, *words), ensure_ascii=True, separators=(",", ":")).encode()
        found = self._entries.get(described)
        if found is not None or self._cells is None:
            return found
        with process.counting:
            if described not in self._entries and self._kept[sort] < most:
                self._entries[described] = self._cells.allocate(described, (0.0,) * size)
                self._kept[sort] += 1
            return self._entries.get(described)

    def forked(self) -> None:
        """Keep nothing more: in a forked child the file is the parent's."""
        self._cells = None
        self._entries = {}
        self._kept = {GAUGE: 0, QUERY: 0}


def fingerprint_of(system: str, namespace: str, text: str) -> str:
    """Return what a query is known by: the same for the same text in the same database."""
    said = f"{system}\0{namespace}\0{text}".encode("utf-8", "replace")
    return blake2b(said, digest_size=8).hexdigest()
