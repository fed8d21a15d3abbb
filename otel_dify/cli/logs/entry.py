"""One entry of a log, whatever its format: what the analysis needs of it."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_LEVELS = {
    **{name: name for name in LEVELS},
    "TRACE": "DEBUG",
    "WARN": "WARNING",
    "FATAL": "ERROR",
    "CRITICAL": "ERROR",
}
# OTLP severity numbers, from which on a level is:
# https://opentelemetry.io/docs/specs/otel/logs/data-model/#field-severitynumber
_FROM = ((17, "ERROR"), (13, "WARNING"), (9, "INFO"))


@dataclass(slots=True)
class Entry:
    """One entry.

    Attributes:
        seconds: when, since the epoch; 0 where it does not say.
        level: one of ``LEVELS``.
        service: who wrote it; empty where it does not say.
        source: event, logger or file.
        message: what it says.
        error_type: type of the error, if it tells of one.
        fingerprint: the same each time the same error happens; empty where it has none yet.
        request: method and route of an answered request; empty for all else.
        status: that it was answered with, 0 for none.
        took_s: seconds that it took; none where it does not say.
        trace_id: the trace that it belongs to.
        run_id: the run that it belongs to.
        is_text: whether further lines may belong to it.
    """

    seconds: float = 0.0
    level: str = "INFO"
    service: str = ""
    source: str = ""
    message: str = ""
    error_type: str = ""
    fingerprint: str = ""
    request: str = ""
    status: int = 0
    took_s: float | None = None
    trace_id: str = ""
    run_id: str = ""
    is_text: bool = False

    @property
    def is_error(self) -> bool:
        """Whether it tells of an error."""
        return self.level == "ERROR"


def level_of(text: str, number: int = 0) -> str:
    """Return the level that a word means, or else a number of OpenTelemetry's.

    Args:
        text: the word, in capitals or not.
        number: from 1 to 24; 0 for none.
    """
    known = _LEVELS.get(text.upper())
    return known or next((level for least, level in _FROM if number >= least), "INFO")
