"""What a person means by an id: a run, a message or a trace, by as much of its id as is unique."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otel_dify.cli.traces import Trace

_LATEST = re.compile(r"latest(?:~(\d+))?", re.IGNORECASE)
_ID = re.compile(r"[0-9a-f][0-9a-f-]*", re.IGNORECASE)

type Match = tuple[str, str]
"""What an id is of (``run``, ``message`` or ``trace``), and the id."""


class UnknownIdError(Exception):
    """Nothing has the id."""


class AmbiguousIdError(Exception):
    """Several things have ids that begin so.

    Attributes:
        matches: each of them, with its traces.
    """

    def __init__(self, matches: dict[Match, list[Trace]]) -> None:
        super().__init__(f"{len(matches)} ids begin so")
        self.matches = matches


def is_id(text: str) -> bool:
    """Tell whether a text is meant as an id, or says ``latest``: not as a file or an address."""
    return bool(_ID.fullmatch(text) or _LATEST.fullmatch(text))


def find(traces: Sequence[Trace], text: str, of: Sequence[str] = ()) -> list[Trace]:
    """Find the traces of what a text names.

    Args:
        traces: all there are, the latest last.
        text: ``latest``, ``latest~2`` (the second before it), or how an id begins, with hyphens or
            without.
        of: what it may be an id of; nothing for all.

    Returns:
        its traces: a run that was paused and resumed has several.

    Raises:
        UnknownIdError: nothing is named so.
        AmbiguousIdError: several are.
    """
    if latest := _LATEST.fullmatch(text):
        back = int(latest[1] or 0)
        # The name of a conversation is made in a trace of its own, after the run that it is for.
        runs: dict[str, list[Trace]] = {}
        for trace in of_runs(traces):
            runs.setdefault(next(iter((*trace.runs, *trace.messages, trace.id))), []).append(trace)
        if back >= len(runs):
            raise UnknownIdError(text)
        return list(runs.values())[-1 - back]
    wanted = _digits(text)
    matches: dict[Match, list[Trace]] = {}
    for trace in traces:
        for what, known in _ids(trace):
            if wanted and _digits(known).startswith(wanted) and (not of or what in of):
                matches.setdefault((what, known), []).append(trace)
    exact = {key: found for key, found in matches.items() if _digits(key[1]) == wanted}
    matches = exact or matches
    # A message and its run are the same traces.
    if len({tuple(trace.id for trace in found) for found in matches.values()}) > 1:
        raise AmbiguousIdError(matches)
    if not matches:
        raise UnknownIdError(text)
    return next(iter(matches.values()))


def of_runs(traces: Sequence[Trace]) -> Sequence[Trace]:
    """Leave out traces without a run or a message, unless all are."""
    return [trace for trace in traces if trace.runs or trace.messages] or traces


def _ids(trace: Trace) -> list[Match]:
    return [
        *(("run", run) for run in trace.runs),
        *(("message", message) for message in trace.messages),
        ("trace", trace.id),
    ]


def _digits(text: str) -> str:
    return text.lower().replace("-", "")
