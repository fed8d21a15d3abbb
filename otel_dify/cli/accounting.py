"""Accounting: rows of Dify's database against what telemetry says of the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel_dify import table as t
from otel_dify.cli.kinds import kind_of

if TYPE_CHECKING:
    from otel_dify.cli.records import Span

type Key = tuple[str, ...]
type Counts = Counter[Key]

# What waits for a person is counted when it has ended for good, so rows that say `paused` are left
# out here and below. A run whose process was killed says `running` for ever in the database; it is
# counted as `terminated` when another process has taken over.
RUNS = """
SELECT id::text AS id, app_id::text AS owner,
       CASE status WHEN 'running' THEN 'terminated' ELSE status END AS outcome,
       status = 'running' AS open, total_tokens AS tokens, app_id, created_at
FROM workflow_runs WHERE status <> 'paused'
"""
# Dify writes one row for a node execution, whose last status wins; a row that still says `retry`
# is an attempt of a run whose process died, and is left out.
NODES = """
SELECT coalesce(n.node_execution_id, n.id::text) AS id, n.node_type AS owner,
       CASE n.status WHEN 'running' THEN 'terminated' ELSE n.status END AS outcome,
       coalesce(r.status IN ('running', 'paused'), n.status = 'running') AS open, 0 AS tokens,
       n.app_id, n.created_at
FROM workflow_node_executions n LEFT JOIN workflow_runs r ON r.id = n.workflow_run_id
WHERE n.status NOT IN ('retry', 'paused')
"""
# A message of the database is `normal` where ours is `succeeded` or `stopped` (by its user), and
# `error` where ours is `failed`.
MESSAGES = """
SELECT m.id::text AS id, a.mode AS owner,
       CASE m.status WHEN 'normal' THEN 'succeeded' WHEN 'error' THEN 'failed'
       ELSE m.status END AS outcome, coalesce(r.status IN ('running', 'paused'), false) AS open,
       0 AS tokens, m.app_id, m.created_at
FROM messages m JOIN apps a ON a.id = m.app_id LEFT JOIN workflow_runs r ON r.id = m.workflow_run_id
WHERE m.status <> 'paused'
"""
_EDGE_NS = 2 * 10**9
"""Dify rounds when a message was created; its row and its span may lie on two sides of an edge."""
_WHOLE = frozenset({"succeeded", "partial-succeeded"})
"""Outcomes of runs whose tokens Dify counts whole: where a node fails, the run's row has none of
what those used that ran beside it."""
_MODES = {"stopped": "succeeded"}
_NODES = {"stopped": "failed"}
SORTS: tuple[tuple[str, str, t.Kind, t.Attribute, t.Attribute, t.Attribute, dict[str, str]], ...]
SORTS = (
    ("runs", RUNS, t.RUN, t.RUN_ID, t.APP_ID, t.RUN_STATUS, {}),
    ("nodes", NODES, t.NODE, t.NODE_EXECUTION_ID, t.NODE_TYPE, t.NODE_STATUS, _NODES),
    ("messages", MESSAGES, t.MESSAGE, t.MESSAGE_ID, t.APP_MODE, t.MESSAGE_STATUS, _MODES),
)
"""What is compared: its name, its rows, its kind, their id, owner and outcome, and outcomes that
Dify's rows do not tell apart."""


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: what is counted.
        key: of which.
        truth: what the database or the models say.
        counted: what the telemetry says.
    """

    what: str
    key: str
    truth: int
    counted: int


def counted(rows: str) -> str:
    """Make a query that counts rows since a moment, by owner and outcome."""
    return (
        f"SELECT owner, outcome, count(*) FROM ({rows}) r "  # noqa: S608 - queries of this module's
        "WHERE created_at >= %(since)s GROUP BY 1, 2"
    )


def compare(what: str, truth: Mapping[Key, int], counted: Mapping[Key, int]) -> list[Row]:
    """Make the rows of one comparison."""
    return [
        Row(what, " ".join(key), truth.get(key, 0), counted.get(key, 0))
        for key in sorted({*truth, *counted})
    ]


def as_rows(messages: Counts) -> Counts:
    """Count messages that their users stopped as Dify's rows do: as all others."""
    return _merged(messages, _MODES)


def as_node_rows(nodes: Counts) -> Counts:
    """Count nodes that their run ended before as Dify's rows do: as failed."""
    return _merged(nodes, _NODES)


def _merged(counts: Counts, same: Mapping[str, str]) -> Counts:
    merged: Counts = Counter()
    for (owner, outcome), count in counts.items():
        merged[owner, same.get(outcome, outcome)] += count
    return merged


def table(
    known: Mapping[str, list[dict[str, Any]]],
    spans: Iterable[Span],
    window: tuple[int, int],
    *,
    app: str | None = None,
) -> list[Row]:
    """Compare rows with spans, each by its id: twice told is twice counted.

    Args:
        known: rows of ``SORTS``' queries by their names.
        spans: those of the window, and perhaps others.
        window: nanoseconds since the epoch; a span in it whose row is missing counts as well.
        app: the app whose rows they are; none for all.
    """
    begin, end = window[0] + _EDGE_NS, window[1] - _EDGE_NS
    by_kind: dict[t.Kind, list[Span]] = {}
    for span in spans:
        kind = kind_of(span)
        if kind is not None and app in {None, span.text(t.APP_ID.key)}:
            by_kind.setdefault(kind, []).append(span)
    found: list[Row] = []
    for what, _, kind, identity, owner, outcome, same in SORTS:
        rows = known[what]
        open_ones = {row["id"] for row in rows if row["open"]}
        ids = {row["id"] for row in rows} - open_ones
        truth: Counts = Counter(
            (str(row["owner"]), str(row["outcome"])) for row in rows if row["id"] in ids
        )
        told: Counts = Counter()
        tokens = 0
        for span in by_kind.get(kind, ()):
            name, status = span.text(identity.key), span.text(outcome.key)
            of_window = name in ids or begin <= span.start_ns < end
            if status != "paused" and of_window and name not in open_ones:
                told[span.text(owner.key), same.get(status, status)] += 1
                if status in _WHOLE:
                    tokens += int(span.number(t.TOTAL_TOKENS.key))
        found += compare(what, truth, told)
        if kind is t.RUN:
            whole = [row for row in rows if row["id"] in ids and row["outcome"] in _WHOLE]
            total = sum(int(row["tokens"] or 0) for row in whole)
            found.append(Row("tokens", "total of runs that succeeded", total, tokens))
    return found
