"""The report: findings for a person and for a program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from otel_dify.cli.doctor.finding import Finding, Severity
from otel_dify.cli.text import wrap
from otel_dify.version import __version__

_COLOUR = {
    Severity.OK: "green",
    Severity.NOTE: "cyan",
    Severity.WARNING: "yellow",
    Severity.PROBLEM: "red",
}
_WIDTH = max(map(len, Severity))
_INDENT = " " * (_WIDTH + 4)
_LEAST = 40


def lines(finding: Finding, width: int) -> Iterator[str]:
    """Write one finding for a person: how much it matters, what was found, what to do.

    Args:
        finding: the finding.
        width: cells of a line.
    """
    room = max(width - len(_INDENT), _LEAST)
    mark = click.style(f"{finding.severity:<{_WIDTH}}", fg=_COLOUR[finding.severity])
    what, *rest = wrap(finding.what, room)
    yield f"  {mark}  {what}"
    yield from (f"{_INDENT}{line}" for line in rest)
    if finding.do:
        do, *rest = wrap(finding.do, room - 2)
        yield f"{_INDENT}→ {do}"
        yield from (f"{_INDENT}  {line}" for line in rest)


def counted(findings: Sequence[Finding]) -> dict[Severity, int]:
    """Count findings by how much they matter, all four being there."""
    found = Counter(finding.severity for finding in findings)
    return {severity: found[severity] for severity in Severity}


def verdict(findings: Sequence[Finding]) -> str:
    """Sum up in one sentence."""
    found = counted(findings)
    problems, warnings = found[Severity.PROBLEM], found[Severity.WARNING]
    if problems:
        also = f" and {_number(warnings, 'warning')}" if warnings else ""
        return f"{_number(problems, 'problem')}{also}: begin with the first one"
    if warnings:
        return f"No problem, and {_number(warnings, 'warning')}"
    return "All is well, as far as could be looked at"


def as_json(host: str, seconds: float, findings: Sequence[Finding]) -> str:
    """Write all findings for a program.

    Args:
        host: this machine's or container's name.
        seconds: when it was, since the epoch.
        findings: all of them.
    """
    told: dict[str, Any] = {
        "version": __version__,
        "host": host,
        "time": datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds"),
        "counts": counted(findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'' if count == 1 else 's'}"
