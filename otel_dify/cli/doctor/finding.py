"""Findings: what a check has found, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Worth knowing, and perhaps wanted so; also what could not be looked at."""
    WARNING = "warning"
    """Telemetry works, but not as most people want it, or not for long."""
    PROBLEM = "problem"
    """Telemetry, or a part of it, does not arrive."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        about: what it is about, the same in every run and language: ``collector.tcp``.
        severity: how much it matters.
        what: what was found, a sentence without a full stop.
        do: what to do about it, the same; empty only where all is well.
    """

    about: str
    severity: Severity
    what: str
    do: str = ""


def ok(about: str, what: str) -> Finding:
    """Find that something is as it should be."""
    return Finding(about, Severity.OK, what)


def note(about: str, what: str, do: str) -> Finding:
    """Find something that is worth knowing."""
    return Finding(about, Severity.NOTE, what, do)


def warning(about: str, what: str, do: str) -> Finding:
    """Find something that most people want otherwise."""
    return Finding(about, Severity.WARNING, what, do)


def problem(about: str, what: str, do: str) -> Finding:
    """Find something that keeps telemetry from arriving."""
    return Finding(about, Severity.PROBLEM, what, do)
