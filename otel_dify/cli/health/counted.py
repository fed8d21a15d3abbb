"""What Dify's processes have counted, read from the files of their slots; nothing is changed there.

Every process of a machine, or of containers that share the folder, keeps its counters and what it
shows beside in files of its own (``signals/cells.py``, ``signals/shown.py``). They outlive it, so
that what a killed worker has counted is read as well.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_dify.locks import lock
from otel_dify.resource import CELLS, SHOWN, SLOT
from otel_dify.signals.cells import FORGET_S, Cells, Entry, head_of, read
from otel_dify.signals.points import OwnStore
from otel_dify.signals.series import Exemplars
from otel_dify.signals.shown import GAUGE, QUERY, fingerprint_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric


@dataclass(frozen=True, slots=True)
class Reading:
    """The last reading of a gauge.

    Attributes:
        name: name of the gauge.
        labels: its labels.
        value: what was read.
        at_s: when, seconds since the epoch.
    """

    name: str
    labels: Mapping[str, str]
    value: float
    at_s: float


@dataclass(frozen=True, slots=True)
class Query:
    """What the slow queries of one text have come to, in one process or in several.

    Attributes:
        system: ``db.system.name``.
        namespace: the database.
        operation: ``SELECT`` and so on.
        text: the statement without values, as it is on spans; empty for all that there was no room
            for.
        number: how many were slow.
        failed: those of them that failed.
        seconds: what all of them took.
        slowest: the longest of them, seconds.
        last_s: when the last one ended, seconds since the epoch.
    """

    system: str
    namespace: str
    operation: str
    text: str
    number: int
    failed: int
    seconds: float
    slowest: float
    last_s: float

    @property
    def fingerprint(self) -> str:
        """The same for the same text in the same database; empty for the rest together."""
        return self.text and fingerprint_of(self.system, self.namespace, self.text)


@dataclass(frozen=True)
class Counted:
    """What one slot holds: of a process that lives, or of the last one that had it.

    Attributes:
        name: name of the slot: role and number.
        lives: whether its process does.
        resource: its attributes.
        path: its files, without their endings.
        now_s: when it was looked at, seconds since the epoch.
    """

    name: str
    lives: bool
    resource: Mapping[str, str]
    path: Path
    now_s: float

    @property
    def instance(self) -> str:
        """What tells it apart from all others."""
        return self.resource.get("service.instance.id") or self.name

    def metrics(self) -> list[Metric]:
        """Return its counters and histograms, as they would be sent."""
        left = Cells()
        left.entries.extend(self._new_enough(self.path.with_suffix(CELLS)))
        return list(OwnStore(Exemplars("always_off"), left).collect())

    def readings(self) -> list[Reading]:
        """Return its gauges; a dead process has none."""
        if not self.lives:
            return []
        return [
            Reading(str(name), dict(labels), entry.cells[0], entry.cells[1])
            for (name, labels), entry in self._described(GAUGE, 2)
            if entry.cells[1]
        ]

    def queries(self) -> list[Query]:
        """Return its slow queries."""
        return [
            Query(
                *(str(system), str(namespace), str(operation), str(text)),
                number=int(entry.cells[0]),
                failed=int(entry.cells[1]),
                seconds=entry.cells[2],
                slowest=entry.cells[3],
                last_s=entry.cells[4],
            )
            for (system, namespace, operation, text), entry in self._described(QUERY, 5)
            if entry.cells[0]
        ]

    @cached_property
    def _shown(self) -> list[Entry]:
        return list(self._new_enough(self.path.with_suffix(SHOWN)))

    def _described(self, sort: str, size: int) -> Iterator[tuple[list[Any], Entry]]:
        """List what is shown of a sort, with the words that describe it."""
        words = {GAUGE: 2, QUERY: 4}[sort]
        for entry in self._shown:
            try:
                found, *described = json.loads(entry.description)
            except (ValueError, TypeError):  # of another version
                continue
            if found == sort and len(described) == words and len(entry.cells) == size:
                yield described, entry

    def _new_enough(self, path: Path) -> Iterator[Entry]:
        """Read entries; what nothing was added to for a day goes with its process."""
        try:
            found = list(read(path))
        except OSError:  # taken over or removed meanwhile
            return
        oldest = self.now_s - FORGET_S
        for entry in found:
            changed = entry.changed[0] if entry.changed is not None else 0.0
            if self.lives or changed >= oldest:
                yield entry


def counted_in(folder: Path, now_s: float | None = None) -> list[Counted]:
    """Find what processes have counted.

    Args:
        folder: ``OTEL_DIFY_STATE_PATH`` of those processes.
        now_s: seconds since the epoch.
    """
    at_s = time.time() if now_s is None else now_s
    stems = {path.with_suffix("") for end in (CELLS, SHOWN) for path in folder.glob(f"*{end}")}
    return [
        Counted(stem.name, _lives(stem), _resource_of(stem), stem, at_s) for stem in sorted(stems)
    ]


def _lives(stem: Path) -> bool:
    """Tell whether a process has the slot; it is so where we may not ask."""
    try:
        held = lock(stem.with_suffix(SLOT))
    except FileNotFoundError:
        return False
    except OSError:
        return True
    if held is not None:
        held.release()
    return held is None


def _resource_of(stem: Path) -> dict[str, str]:
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

    for end in (CELLS, SHOWN):
        try:
            found = ResourceSpans.FromString(head_of(stem.with_suffix(end))[1]).resource
        except (OSError, DecodeError):
            continue
        if found.attributes:
            return {each.key: _text_of(each.value) for each in found.attributes}
    return {}


def _text_of(value: Any) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind in {"string_value", "int_value", "bool_value"} else ""
