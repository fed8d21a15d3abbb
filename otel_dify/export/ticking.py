"""Threads that do something again and again.

The SDK's processors start their threads when they are made, and again in every forked child for
what its parent has made. Here a thread starts with the first item of a process, and a child knows
nothing of its parent's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.guard import guarded, say_noted


class Ticking:
    """A thread that does something at intervals, until it is stopped.

    It is a daemon and starts when it is first asked to, so that neither a process that records
    nothing nor one that is about to fork has it.

    Args:
        name: name of the thread.
        every_s: seconds between two times.
        work: what it does, under suppressed instrumentation.
    """

    def __init__(self, name: str, every_s: float, work: Callable[[], None]) -> None:
        self._name = name
        self._every_s = every_s
        self._work = work
        # A SimpleQueue may be put into from a signal handler that interrupts another put.
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the thread, once; whoever finds it being started need not wait."""
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                if self._thread is None and not self._stopped:
                    thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    # At the end of the interpreter there are none; `join` does the work then.
                    with suppress(RuntimeError):
                        thread.start()
                        self._thread = thread
            finally:
                self._starting.release()

    def wake(self) -> None:
        """Have the work done at once."""
        self._bell.put(None)

    def stop(self) -> None:
        """Have the work done a last time."""
        self._stopped = True
        self.wake()

    def join(self, deadline: float) -> bool:
        """Wait for the end of a thread that was stopped.

        Args:
            deadline: until when, by ``time.monotonic``.

        Returns:
            Whether it has ended. Where none could be started, as at the end of the interpreter,
            the work is done here.
        """
        thread = self._thread
        if thread is None:
            self._work_once()
            return True
        thread.join(max(deadline - time.monotonic(), 0.0))
        return not thread.is_alive()

    def _run(self) -> None:
        stopped = False
        while not stopped:
            with suppress(Empty):
                self._bell.get(timeout=self._every_s)
            # Read before the work: what is recorded until then is among it.
            stopped = self._stopped
            self._work_once()

    def _work_once(self) -> None:
        with guarded(f"otel_dify.export {self._name}"), suppress_instrumentation():
            try:
                self._work()
            finally:
                say_noted()


def let_others_run() -> None:
    """Give way in the middle of much work: a greenlet has all of the process until it waits."""
    time.sleep(0)
