"""What is counted of entries: in memory that does not grow with their number."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field

from otel_dify.cli.logs.entry import Entry
from otel_dify.operations.errors import fingerprint_of

KINDS = 10_000
"""Errors, and routes, that are told apart; what comes after so many is counted together."""
_GROWTH = math.log(1.02)
_SHORTEST_S = 1e-4
_TOLD_BY = 1_000
"""Characters of a message by which errors are told apart: searching all of a long one is slow."""
_EXAMPLE = 300
"""Characters kept of a message."""


class Durations:
    """How long many things took: quantiles to 2 %, by buckets that grow by as much.

    Attributes:
        count: how many there were.
        longest_s: the longest, in seconds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.longest_s = 0.0
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Take one."""
        self.count += 1
        self.longest_s = max(self.longest_s, seconds)
        self._buckets[int(math.log(max(seconds, _SHORTEST_S) / _SHORTEST_S) / _GROWTH)] += 1

    def quantile(self, share: float) -> float:
        """Return the seconds within which a share of them was done; 0 of none."""
        wanted, seen = share * self.count, 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min(_SHORTEST_S * math.exp((bucket + 0.5) * _GROWTH), self.longest_s)
        return 0.0


@dataclass(slots=True)
class Errors:
    """Errors of one fingerprint.

    Attributes:
        error_type: their type.
        fingerprint: the same each time the same error happens.
        count: how many there were.
        first_s: when the first was, seconds since the epoch.
        last_s: when the last was.
        services: who told of them, and how often.
        message: what the first said.
        trace_id: a trace with one in it.
    """

    error_type: str
    fingerprint: str
    message: str
    count: int = 0
    first_s: float = math.inf
    last_s: float = 0.0
    services: Counter[str] = field(default_factory=Counter)
    trace_id: str = ""

    def add(self, entry: Entry) -> None:
        """Take one."""
        self.count += 1
        if entry.seconds:
            self.first_s = min(self.first_s, entry.seconds)
            self.last_s = max(self.last_s, entry.seconds)
        self.services[entry.service or "unnamed"] += 1
        self.trace_id = entry.trace_id or self.trace_id


@dataclass(slots=True)
class Requests:
    """Requests of one method and route.

    Attributes:
        name: method and route.
        statuses: how many were answered with what: ``2xx`` and so on.
        durations: how long they took.
    """

    name: str
    statuses: Counter[str] = field(default_factory=Counter)
    durations: Durations = field(default_factory=Durations)

    @property
    def count(self) -> int:
        """How many there were."""
        return self.statuses.total()


class Analysis:
    """What many entries come to.

    Attributes:
        levels: entries by level.
        first_s: when the first was, seconds since the epoch.
        last_s: when the last was.
        errors: by type and fingerprint.
        further_errors: errors of more kinds than are told apart.
        requests: by method and route.
        further_requests: requests of more routes than are told apart.
        slow: how many requests took as long as ``slow_s`` or longer.

    Args:
        slow_s: seconds from which a request is slow.
        most: slow requests that are kept, the slowest ones.
    """

    def __init__(self, slow_s: float, most: int) -> None:
        self.levels: Counter[str] = Counter()
        self.first_s, self.last_s = math.inf, 0.0
        self.errors: dict[tuple[str, str], Errors] = {}
        self.further_errors = 0
        self.requests: dict[str, Requests] = {}
        self.further_requests = 0
        self.slow = 0
        self._slow_s, self._most = slow_s, most
        self._slowest: list[tuple[float, int, Entry]] = []

    def add(self, entry: Entry) -> None:
        """Take an entry."""
        self.levels[entry.level] += 1
        if entry.seconds:
            self.first_s = min(self.first_s, entry.seconds)
            self.last_s = max(self.last_s, entry.seconds)
        if entry.is_error:
            self._add_error(entry)
        if entry.request:
            self._add_request(entry)

    @property
    def count(self) -> int:
        """How many entries there were."""
        return self.levels.total()

    @property
    def slowest(self) -> list[Entry]:
        """The slowest requests, the slowest first."""
        return [entry for _, _, entry in sorted(self._slowest, reverse=True)]

    def _add_error(self, entry: Entry) -> None:
        kind = entry.error_type or "unnamed"
        mark = entry.fingerprint or fingerprint_of(None, kind, entry.message[:_TOLD_BY])
        found = self.errors.get((kind, mark))
        if found is None:
            if len(self.errors) >= KINDS:
                self.further_errors += 1
                return
            found = self.errors[kind, mark] = Errors(kind, mark, entry.message[:_EXAMPLE])
        found.add(entry)

    def _add_request(self, entry: Entry) -> None:
        found = self.requests.get(entry.request)
        if found is None:
            if len(self.requests) >= KINDS:
                self.further_requests += 1
                return
            found = self.requests[entry.request] = Requests(entry.request)
        found.statuses[f"{entry.status // 100}xx" if entry.status else "none"] += 1
        if entry.took_s is None:
            return
        found.durations.add(entry.took_s)
        if entry.took_s >= self._slow_s:
            self.slow += 1
            entry.message = entry.message[:_EXAMPLE]
            # By their number where two took as long: entries have no order.
            kept = entry.took_s, -self.slow, entry
            if len(self._slowest) < self._most:
                heapq.heappush(self._slowest, kept)
            else:
                heapq.heappushpop(self._slowest, kept)
