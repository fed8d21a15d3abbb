"""Adoption: taking over what dead processes have left in their places.

Their segments are moved into this process's own place, where they are as they were: each says
itself whose records it has. Whatever becomes of this process then becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from otel_dify.export.journal.backlog import Backlog, Piece
from otel_dify.export.journal.place import Home, Place, adopt, free_name
from otel_dify.export.ticking import let_others_run
from otel_dify.guard import guarded


class Adoption:
    """Takes over the places of dead processes.

    Args:
        root: where places lie; none where there are none.
        home: this process's.
        backlogs: what is left of each signal that is sent.
        recover: ends in a place what its process has begun.
    """

    def __init__(
        self,
        root: Path | None,
        home: Home,
        backlogs: Mapping[str, Backlog],
        recover: Callable[[Place], None],
    ) -> None:
        self._root = root
        self._home = home
        self._backlogs = backlogs
        self._recover = recover
        self._kept: Place | None = None

    def look(self) -> None:
        """Look for places of dead processes and have what is in them sent, the oldest first."""
        if self._root is None or not self._kept_is_empty():
            return
        found: dict[str, list[Piece]] = {signal: [] for signal in self._backlogs}
        for place in adopt(self._root):
            with guarded("otel_dify.export recovery"):
                self._recover(place)
            with guarded("otel_dify.export adoption"):
                self._take(place, found)
            if self._kept is place:
                break
            place.leave()
        for signal, pieces in found.items():
            for piece in sorted(pieces, key=lambda one: (one.begun_ns, one.sequence)):
                self._backlogs[signal].add(piece)

    def _kept_is_empty(self) -> bool:
        """Delete the place that was kept, once all in it has been sent."""
        if self._kept is not None and not any(map(self._kept.segments, self._backlogs)):
            self._end(self._kept)
            self._kept.leave()
            self._kept = None
        return self._kept is None

    def _take(self, place: Place, found: dict[str, list[Piece]]) -> None:
        """Take what is in a place.

        Raises:
            OSError: it cannot be read.
        """
        try:
            folder = self._home.path()
        except OSError:
            # On a disk that is full there is no place of our own: it is sent from there.
            folder, self._kept = None, place
        for signal, pieces in found.items():
            for path in place.segments(signal):
                try:
                    piece = Piece(path)
                except ValueError:  # nothing is in it
                    path.unlink(missing_ok=True)
                    continue
                if folder is not None:
                    piece.path = path.rename(free_name(folder, signal))
                pieces.append(piece)
                let_others_run()
        if folder is not None:
            self._end(place)

    def _end(self, place: Place) -> None:
        """Delete a place, unless it has something that nobody here sends."""
        if not place.has_segments():
            place.delete()

    def leave(self) -> None:
        """Leave to whoever comes next what could not be moved."""
        if self._kept is not None:
            self._kept.leave()
