"""Adoption: taking over what dead processes have left in their places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from otel_dify.export.delivery import lose
from otel_dify.export.journal.journal import Adopted
from otel_dify.export.journal.place import Place, adopt
from otel_dify.guard import guarded


class Sends(Protocol):
    """Sends what was adopted, of one signal."""

    def adopt(self, left: Left) -> None:
        """Take something to send."""


class Left(Adopted):
    """What a dead process has left of one signal.

    Args:
        place: its folder, locked.
        signal: ``traces`` or ``logs``.
        size: records of a batch.
        done: called when all of it has been sent.
    """

    def __init__(self, place: Place, signal: str, size: int, done: Callable[[], None]) -> None:
        super().__init__(place, signal, size)
        self._signal = signal
        self._done = done

    def done(self) -> None:
        """Say that nothing is left."""
        if self.damaged:
            lose(self._signal, self.damaged, "damaged")
        self._done()


class Adoption:
    """Takes over the places of dead processes.

    Args:
        root: where places lie; none where there are none.
        senders: what sends each signal.
        size: records of a batch.
        recover: ends in a place what its process has begun.
    """

    def __init__(
        self,
        root: Path | None,
        senders: Mapping[str, Sends],
        size: int,
        recover: Callable[[Place], None],
    ) -> None:
        self._root = root
        self._senders = senders
        self._size = size
        self._recover = recover

    def look(self) -> None:
        """Look for places of dead processes and have what is in them sent."""
        if self._root is None:
            return
        for place in adopt(self._root):
            with guarded("otel_dify.export recovery"):
                self._recover(place)
            _Waiting(place, self._senders, self._size).begin()


class _Waiting:
    """A place that was adopted, until all of its signals are sent."""

    def __init__(self, place: Place, senders: Mapping[str, Sends], size: int) -> None:
        self._place = place
        self._senders = senders
        self._size = size
        self._left = {signal for signal in senders if place.segments(signal)}

    def begin(self) -> None:
        """Have each signal sent."""
        if not self._left:
            self._end()
        for signal in tuple(self._left):
            left = Left(self._place, signal, self._size, lambda signal=signal: self._sent(signal))  # type: ignore[misc] # bound to each
            self._senders[signal].adopt(left)

    def _sent(self, signal: str) -> None:
        self._left.discard(signal)
        if not self._left:
            self._end()

    def _end(self) -> None:
        """Delete the place, unless it has something that nobody here sends."""
        if any(self._place.path.glob("*.segment")):
            return
        self._place.delete()
