"""The checks, in the order in which somebody who sees no traces would go."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from otel_dify.cli.doctor import (
    attaching,
    clocks,
    conflicts,
    journal,
    processes,
    reach,
    roundtrip,
    versions,
    words,
)
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, problem, warning


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: what it is called on the command line and in the findings.
        title: what it is called in the report.
        find: finds what there is to find, one after the other.
    """

    name: str
    title: str
    find: Callable[[Examined], Iterable[Finding]]


CHECKS = (
    Check("versions", "Versions", versions.check),
    Check("conflicts", "Conflicts", conflicts.check),
    Check("settings", "Settings, in words", words.check),
    Check("sources", "What attaches to Dify", attaching.check),
    Check("processes", "Processes of Dify here", processes.check),
    Check("collector", "Collector", reach.check),
    Check("backends", "There and back: a test span, metric and log record", roundtrip.check),
    Check("clock", "Clocks", clocks.check),
    Check("journal", "Journal", journal.check),
)


def examine(check: Check, examined: Examined) -> Iterator[Finding]:
    """Run a check; whatever it comes upon, the others have their turn.

    What otel_dify would write into Dify's log meanwhile is a finding as well.
    """
    with _hearing() as said:
        try:
            yield from check.find(examined)
        except Exception as error:  # noqa: BLE001 - told, with the others' findings
            yield problem(
                f"{check.name}.failed",
                f"this check itself failed ({type(error).__name__}: {error})",
                "Report it to the project with this line; the other checks hold",
            )
    for sentence in dict.fromkeys(said):
        what, _, do = sentence.partition(". ")
        yield warning(f"{check.name}.said", what, do or "Set it right and restart")


@contextmanager
def _hearing() -> Iterator[list[str]]:
    """Hear what otel_dify logs, in place of the terminal."""
    said: list[str] = []

    class Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, hearing = logging.getLogger("otel_dify"), Hearing()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(hearing)
    try:
        yield said
    finally:
        logger.removeHandler(hearing)
        logger.propagate = propagated
