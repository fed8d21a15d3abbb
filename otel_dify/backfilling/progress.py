"""How far a backfill has got, kept in a file, so that one that was killed goes on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from otel_dify.sources.history.database import Row


class State:
    """How far it has got, in a file; nothing is kept where there is none.

    Args:
        path: the file.
        window: what is backfilled: another window begins anew.
    """

    def __init__(self, path: Path | None, window: Mapping[str, Any]) -> None:
        self._path = path
        self._window = dict(window)
        self._after: dict[str, list[str]] = {}
        if path is not None and path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["window"] == self._window:
                self._after = kept["after"]

    def after(self, sort: str) -> tuple[datetime, str] | None:
        """Return moment and id of the last row of a sort that has been sent."""
        found = self._after.get(sort)
        return None if found is None else (datetime.fromisoformat(found[0]), found[1])

    def sent(self, sort: str, row: Row) -> None:
        """Keep that all up to a row has been sent."""
        self._after[sort] = [row["created_at"].isoformat(), row["id"]]
        if self._path is None:
            return
        beside = self._path.with_name(self._path.name + ".new")
        beside.write_text(json.dumps({"window": self._window, "after": self._after}), "utf-8")
        beside.replace(self._path)
