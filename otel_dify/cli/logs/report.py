"""What log files come to, for a person and for a program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from otel_dify.cli.logs.analysis import Analysis, Errors, Requests
from otel_dify.cli.logs.entry import LEVELS, Entry
from otel_dify.cli.tables import table
from otel_dify.cli.text import clock, duration, plain

_NS = 1_000_000_000
_DASH = "-"


def lines(analysis: Analysis, most: int, slow_s: float, width: int) -> Iterator[str]:
    """Write it for a person.

    Args:
        analysis: what was counted.
        most: rows of each table.
        slow_s: seconds from which a request is slow.
        width: cells of a line.
    """
    levels = ", ".join(f"{analysis.levels[level]} {level}" for level in reversed(LEVELS))
    yield f"{analysis.count} entries: {levels}"
    if analysis.last_s:
        first, last = (_when(each) for each in (analysis.first_s, analysis.last_s))
        yield f"{first} to {last} UTC"
    errors = _by_count(analysis.errors.values())
    yield from _titled("Errors by type")
    yield from _types(errors, most, width)
    yield from _titled("The same error again, by fingerprint")
    yield from _errors(errors, most, width)
    if analysis.further_errors:
        yield f"and {analysis.further_errors} of further kinds"
    yield from _titled("Requests")
    yield from _requests(_by_count(analysis.requests.values()), most, width)
    if analysis.further_requests:
        yield f"and {analysis.further_requests} to further routes"
    yield from _titled(f"Slow requests: {analysis.slow} took {slow_s:g} s or longer")
    yield from _slow(analysis.slowest, width)


def as_json(analysis: Analysis, unreadable: Mapping[str, int]) -> str:
    """Write it for a program, errors and requests in full.

    Args:
        analysis: what was counted.
        unreadable: by file, lines of no format that is known.
    """
    told: dict[str, Any] = {
        "entries": analysis.count,
        "levels": {level: analysis.levels[level] for level in LEVELS},
        "first": _iso(analysis.first_s) if analysis.last_s else None,
        "last": _iso(analysis.last_s) if analysis.last_s else None,
        "unreadable": dict(unreadable),
        "errors": [
            {
                "type": each.error_type,
                "fingerprint": each.fingerprint,
                "count": each.count,
                "first": _iso(each.first_s) if each.last_s else None,
                "last": _iso(each.last_s) if each.last_s else None,
                "services": dict(each.services),
                "message": each.message,
                "trace_id": each.trace_id,
            }
            for each in _by_count(analysis.errors.values())
        ],
        "further_errors": analysis.further_errors,
        "requests": [
            {
                "request": each.name,
                "count": each.count,
                "statuses": dict(each.statuses),
                **{
                    f"p{share}_s": round(each.durations.quantile(share / 100), 4)
                    for share in (50, 95, 99)
                },
                "longest_s": each.durations.longest_s,
            }
            for each in _by_count(analysis.requests.values())
        ],
        "further_requests": analysis.further_requests,
        "slow": analysis.slow,
        "slowest": [
            {
                "at": _iso(each.seconds),
                "request": each.request,
                "status": each.status,
                "took_s": each.took_s,
                "trace_id": each.trace_id,
                "run_id": each.run_id,
            }
            for each in analysis.slowest
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _types(errors: Sequence[Errors], most: int, width: int) -> Iterator[str]:
    found: Counter[str] = Counter()
    for each in errors:
        found[each.error_type] += each.count
    rows = [(f"{count}", plain(kind)) for kind, count in found.most_common(most)]
    yield from table(("count", "type"), rows, width, 1) if rows else ["none"]


def _errors(errors: Sequence[Errors], most: int, width: int) -> Iterator[str]:
    rows = [
        (
            f"{each.count}",
            each.fingerprint,
            _when(each.last_s),
            plain(", ".join(each.services)),
            plain(f"{each.error_type}: {each.message}"),
        )
        for each in errors[:most]
    ]
    head = ("count", "fingerprint", "last (UTC)", "service", "what the first said")
    yield from table(head, rows, width, 4) if rows else ["none"]


def _requests(requests: Sequence[Requests], most: int, width: int) -> Iterator[str]:
    rows = [
        (
            f"{each.count}",
            f"{each.statuses['4xx']}",
            f"{each.statuses['5xx']}",
            *(
                duration(int(each.durations.quantile(share) * _NS)) if each.durations.count else ""
                for share in (0.5, 0.95, 0.99)
            ),
            duration(int(each.durations.longest_s * _NS)) if each.durations.count else "",
            plain(each.name),
        )
        for each in requests[:most]
    ]
    head = ("count", "4xx", "5xx", "half", "95 %", "99 %", "longest", "request")
    yield from table(head, rows, width, 7) if rows else ["none"]


def _slow(entries: Sequence[Entry], width: int) -> Iterator[str]:
    rows = [
        (
            _when(each.seconds),
            duration(int((each.took_s or 0) * _NS)),
            f"{each.status or _DASH}",
            each.trace_id or _DASH,
            plain(each.request),
        )
        for each in entries
    ]
    head = ("at (UTC)", "took", "status", "trace", "request")
    yield from table(head, rows, width, 4) if rows else ["none"]


def _titled(title: str) -> Iterator[str]:
    yield from ("", click.style(title, bold=True))


def _by_count[T: (Errors, Requests)](found: Iterable[T]) -> list[T]:
    return sorted(found, key=lambda each: each.count, reverse=True)


def _when(seconds: float) -> str:
    return clock(int(seconds * _NS), date=True) if seconds else _DASH


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
