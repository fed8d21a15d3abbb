"""What is read of Dify's rows, the same for each version, and what their values say."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from otel_dify.sources.history.database import Database, Page, Row

RUN = (
    *("id", "tenant_id", "app_id", "workflow_id", "triggered_from", "version", "inputs"),
    *("outputs", "status", "error", "elapsed_time", "total_tokens", "created_by"),
    *("created_at", "finished_at", "exceptions_count"),
)
NODE = (
    *("id", "tenant_id", "app_id", "workflow_id", "workflow_run_id", "node_execution_id"),
    *("node_id", "node_type", "title", "index", "inputs", "process_data", "outputs", "status"),
    *("error", "elapsed_time", "execution_metadata", "created_at", "finished_at", "created_by"),
)
MESSAGE = (
    *("id", "app_id", "model_provider", "model_id", "conversation_id", "inputs", "query"),
    *("answer", "message_tokens", "answer_tokens", "provider_response_latency", "total_price"),
    *("currency", "status", "error", "invoke_from", "from_end_user_id", "from_account_id"),
    *("created_at", "updated_at", "agent_based", "workflow_run_id", "app_mode"),
)
APP = ("id", "tenant_id", "name", "mode", "created_at")
THOUGHT = ("id", "message_id", "position", "created_at")

ALONE = (
    "(t.workflow_run_id IS NULL OR NOT EXISTS "
    "(SELECT 1 FROM workflow_runs r WHERE r.id = t.workflow_run_id)) AND t.status <> 'paused'"
)
"""Messages that no run of a workflow answers, or one that Dify has deleted."""
DRAFT = "t.triggered_from = 'single-step' AND t.workflow_run_id IS NULL"
"""Nodes that somebody has tried out in the editor."""
_TYPE = re.compile(r"\b([A-Z]\w*(?:Error|Exception))\b")
_HOUR = "interval '1 hour'"


@dataclass
class Run:
    """A run with what lies in it and around it.

    Attributes:
        row: of ``workflow_runs``.
        nodes: of ``workflow_node_executions``, as they were created.
        messages: of ``messages``, likewise.
    """

    row: Row
    nodes: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)


def runs(database: Database, page: Page) -> list[Run]:
    """Read a page of runs that have ended, or will not any more, with all that belongs to them."""
    found = {row["id"]: Run(row) for row in database.page("workflow_runs", RUN, "true", page)}
    if not found:
        return []
    ids = list(found)
    only = "t.workflow_run_id = ANY (%s::uuid[]) AND t.status NOT IN ('retry', 'paused')"
    for row in database.of("workflow_node_executions", NODE, only, ids):
        found[row["workflow_run_id"]].nodes.append(row)
    moments = [run.row["created_at"] for run in found.values()]
    # There is an index of moments, and none of runs.
    only = (
        f"t.workflow_run_id = ANY (%s::uuid[]) AND t.created_at >= %s::timestamp - {_HOUR} "
        f"AND t.created_at <= %s::timestamp + {_HOUR}"
    )
    for row in database.of("messages", MESSAGE, only, ids, min(moments), max(moments)):
        found[row["workflow_run_id"]].messages.append(row)
    return list(found.values())


def messages(database: Database, page: Page) -> list[Row]:
    """Read a page of messages that no run of a workflow answers; thoughts are in ``thoughts``."""
    found = database.page("messages", MESSAGE, ALONE, page)
    agents = [row["id"] for row in found if row.get("agent_based")]
    thoughts: dict[str, list[Row]] = {}
    if agents and database.has("message_agent_thoughts", "message_id"):
        only = "t.message_id = ANY (%s::uuid[])"
        for row in database.of("message_agent_thoughts", THOUGHT, only, agents):
            thoughts.setdefault(row["message_id"], []).append(row)
    return [row | {"thoughts": thoughts.get(row["id"], [])} for row in found]


def drafts(database: Database, page: Page) -> list[Row]:
    """Read a page of nodes that were tried out in the editor."""
    return database.page("workflow_node_executions", NODE, DRAFT, page)


class Apps:
    """Rows of apps, read once.

    Args:
        database: Dify's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Row] = {}

    def of(self, identity: str) -> Row:
        """Return what is known of an app; nothing of one that was deleted."""
        if identity not in self._known:
            found = self._database.of("apps", APP, "t.id = %s::uuid", identity)
            self._known[identity] = found[0] if found else {}
        return self._known[identity]


def ns(moment: datetime | None) -> int:
    """Turn a moment of Dify's, UTC without a zone, into nanoseconds since the epoch; none is 0."""
    if moment is None:
        return 0
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(known.timestamp()) * 10**9 + known.microsecond * 1000


def span_of(row: Row) -> tuple[int, int]:
    """Tell start and end of a run or node in nanoseconds; the end is 0 where nobody knows it."""
    start, end = ns(row["created_at"]), ns(row.get("finished_at"))
    elapsed = float(row.get("elapsed_time") or 0)
    if not end and (elapsed or row["status"] not in {"running", "paused"}):
        end = start + int(elapsed * 1e9)
    return start, max(end, start) if end else 0


def of_message(row: Row) -> tuple[int, int]:
    """Tell start and end of a message in nanoseconds: Dify rounds its creation to a second."""
    took = int(float(row.get("provider_response_latency") or 0) * 1e9)
    created, updated = ns(row["created_at"]), ns(row.get("updated_at"))
    start = min(created, (updated or created) - took)
    # What was changed much later was changed by a person: a rating, an annotation.
    start = start if created - start <= 10**9 + took else created
    return start, start + took


def value(text: object) -> Any:
    """Read JSON of a column; what is none stays text. Nothing is none."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text) or None
    except ValueError:
        return text or None


def mapping(text: object) -> dict[str, Any]:
    """Read a JSON object of a column; what is none is empty."""
    found = value(text)
    return found if isinstance(found, dict) else {}


def error_type(error: str, otherwise: str) -> str:
    """Find the type of a failure in its text; Dify's rows have no other."""
    found = _TYPE.search(error)
    return found[1] if found else otherwise
