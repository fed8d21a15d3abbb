"""The state of this process: one object, which knows what telemetry it has and what it keeps.

Nothing is made before the first operation, span or log record of a process, so that gunicorn's
master and Celery's parent hold no thread and no connection, and gevent has patched what it will
patch. A forked child drops what it inherited and makes its own, under its own
``service.instance.id``. Everything of ours that changes while a process runs is kept here, by its
class, so that there is one hook at a fork and nothing else to forget.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_dify.pipeline import Pipeline


_MAKING_S, _GLANCE_S = 10.0, 0.001


class State(Enum):
    """What telemetry of a process is doing."""

    OFF = auto()
    """Not started, or switched off."""
    WAITING = auto()
    """Started; gevent has still to patch. Log records are held back, the first operation ends it:
    code may ask for gevent and never patch."""
    READY = auto()
    """Records; the pipeline is made with the first thing to record."""
    ENDED = auto()
    """Has sent its last; what threads log afterwards makes nothing anew."""
    BROKEN = auto()
    """The pipeline cannot be made here, now or later: that is tried once."""


class Process:
    """Telemetry of one process.

    Attributes:
        state: what it is doing.
        pipeline: what records and sends, once it is made.
        counting: held for the few steps in which something is added up.
    """

    def __init__(self) -> None:
        self.state = State.OFF
        self.pipeline: Pipeline | None = None
        self._make: Callable[[], Pipeline] | None = None
        self._gevent_pending: Callable[[], bool] = lambda: False
        self._maker: int | None = None
        # A log record of a signal handler may ask again in the middle.
        self._lock = threading.RLock()
        self._kept: dict[type, Any] = {}
        # Made before gevent patches and never held while anything waits. It is re-entered where a
        # finalizer or a signal handler comes upon what its own thread has begun.
        self.counting = threading.RLock()

    def kept[T](self, sort: type[T]) -> T:
        """Return this process's one object of a class, made when it is first asked for.

        If it has a method ``forked``, that is called in a forked child.
        """
        found = self._kept.get(sort)
        if found is None:
            found = self._kept.setdefault(sort, sort())
        kept: T = found
        return kept

    def keep(self, thing: object) -> None:
        """Keep an object that was made elsewhere, the only one of its class."""
        self._kept[type(thing)] = thing

    def start(self, make: Callable[[], Pipeline], gevent_pending: Callable[[], bool]) -> None:
        """Say how the pipeline is made, and what tells whether gevent has still to patch."""
        self._make, self._gevent_pending = make, gevent_pending
        self.state = State.WAITING

    def recording(self) -> Pipeline | None:
        """Return the pipeline, made now if need be; none where nothing is to be recorded."""
        if self.pipeline is not None:
            return self.pipeline
        if self._make is None or self.state not in {State.WAITING, State.READY}:
            return None
        # What is logged while the pipeline is made asks for it again.
        if self._maker == threading.get_ident():
            return None
        with self._lock:
            # Of greenlets of the same thread the lock lets all in.
            self._wait_for_maker()
            if self.pipeline is None and self._maker is None:
                self._maker = threading.get_ident()
                try:
                    self.pipeline, self.state = self._make(), State.READY
                except Exception as error:  # noqa: BLE001 - without a pipeline Dify runs on
                    from otel_dify.guard import failed

                    self.state = State.BROKEN
                    failed("otel_dify.process", error)
                finally:
                    self._maker = None
        return self.pipeline

    def _wait_for_maker(self) -> None:
        """Wait for another greenlet that makes the pipeline: what is begun meanwhile counts too."""
        deadline = time.monotonic() + _MAKING_S
        # In gevent's own loop, where a signal handler may run, nothing can wait.
        with suppress(Exception):
            while self._maker is not None and time.monotonic() < deadline:
                time.sleep(_GLANCE_S)

    def may_log(self) -> bool:
        """Tell whether log records may be sent: not while gevent has still to patch."""
        if self.state is State.WAITING and not self._gevent_pending():
            self.state = State.READY
        return self.state is State.READY

    def end(self, trailing_s: float = 0.0) -> None:
        """Send what waits and stop recording, for good.

        Args:
            trailing_s: seconds to wait at most for operations that have not ended.
        """
        pipeline = self.pipeline
        if pipeline is not None and trailing_s:
            pipeline.wait_until_ended(trailing_s)
        self.pipeline = None
        if self.state in {State.WAITING, State.READY}:
            self.state = State.ENDED
        if pipeline is not None:
            pipeline.shutdown()

    def forked(self) -> None:
        """Let go of what a forked child has of its parent's."""
        self._lock, self.counting = threading.RLock(), threading.RLock()
        self._maker = None
        if self.pipeline is not None:
            self.pipeline.forget()
        self.pipeline = None
        if self.state is State.ENDED:
            self.state = State.READY
        for kept in list(self._kept.values()):
            forget = getattr(kept, "forked", None)
            if forget is not None:
                forget()


process = Process()
"""This process."""

TRAILING_S = 2.0
"""Seconds that a process waits at its end for what it has begun.

A run ends in a thread of its own, just after its task has seen its last event and ended; a
conversation gets its name after its first answer.
"""


def finish() -> None:
    """End telemetry at the end of the process, when what it has begun has ended."""
    process.end(TRAILING_S)


def _at_exit() -> None:
    """Run ``finish`` when the process ends, while threads can still be started.

    Ordinary exit handlers run after that: under gevent looking up the Collector's name then fails
    (``can't create new thread at interpreter shutdown``), and with it the last export.
    ``concurrent.futures`` uses the same hook of CPython for the same reason.
    """
    early = getattr(threading, "_register_atexit", None)
    if callable(early):
        with suppress(RuntimeError):  # the process is ending already
            early(finish)
    atexit.register(finish)


os.register_at_fork(after_in_child=process.forked)
_at_exit()
