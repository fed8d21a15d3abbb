"""Looking: what is in the journals, for who only reads.

Nothing is locked, adopted, mapped for writing or cut off: a process may write to what is read, and
another may send and delete it meanwhile. So each file is read once, whole, and what cannot be read
is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from otel_dify.export.encoding.request import request
from otel_dify.export.journal.frames import Sort, frames
from otel_dify.export.journal.opened import FILE, Begun, begun
from otel_dify.export.journal.place import SEGMENT, resource_of
from otel_dify.export.journal.segment import START


@dataclass(frozen=True, slots=True)
class Seen:
    """What is in the folder of one process.

    Attributes:
        path: the folder.
        requests: bodies of requests with all records that are there, by signal; sent ones, too, as
            long as their segment has not been used again.
        resource: the fields of a request that say whose they are.
        begun: what had not ended.
        damaged: parts of its segments that could not be read.
    """

    path: Path
    requests: dict[str, list[bytes]] = field(default_factory=dict)
    resource: bytes = b""
    begun: list[Begun] = field(default_factory=list)
    damaged: int = 0


def holds_journals(folder: Path) -> bool:
    """Tell whether there are journals in a folder: its processes', or those of several folders."""
    return any(places(folder))


def places(folder: Path) -> Iterator[Path]:
    """List the folders of processes in a folder of journals, or in one of a state path."""
    for depth in ("*", "*/*", "*/*/*"):
        for path in sorted(folder.glob(depth)):
            if path.is_dir() and ((path / FILE).exists() or any(path.glob(f"*{SEGMENT}"))):
                yield path


def look(place: Path) -> Seen:
    """Read the folder of a process, living or dead."""
    seen: dict[str, list[bytes]] = {}
    damaged = 0
    for path in sorted(place.glob(f"*{SEGMENT}")):
        try:
            content = path.read_bytes()
        except OSError:  # sent and deleted meanwhile
            continue
        body, torn = _request(content)
        damaged += torn
        if body:
            seen.setdefault(path.name.partition("-")[0], []).append(body)
    try:
        not_ended = [one for _, one in begun(place)]
        resource = resource_of(place)
    except OSError:  # the same
        not_ended, resource = [], b""
    return Seen(place, seen, resource, not_ended, damaged)


def _request(content: bytes) -> tuple[bytes, int]:
    """Make one request of the records of a segment; says also how much of it is damaged."""
    resource, damaged = b"", 0
    scopes: dict[int, bytes] = {}
    records: dict[int, list[bytes]] = {}
    for sort, scope, payload, _ in frames(content, START, len(content)):
        if sort == Sort.RESOURCE:
            resource = payload
        elif sort == Sort.SCOPE:
            scopes[scope] = payload
        elif sort == Sort.RECORD:
            records.setdefault(scope, []).append(payload)
        elif sort == Sort.DAMAGED:
            damaged += 1
    if not records:
        return b"", damaged
    return request(resource, [(scopes.get(k, b""), held) for k, held in records.items()]), damaged
