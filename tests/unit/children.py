"""Forked children of a test: what they return comes back through a pipe."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from typing import ClassVar


class Forked:
    """A forked child that runs ``work``, says what came of it, and waits to be let go.

    Args:
        work: what it does; its result comes back as text.
    """

    # A child must not hold the ends that let its siblings go.
    _others: ClassVar[set[int]] = set()

    def __init__(self, work: Callable[[], str]) -> None:
        said, says = os.pipe()
        waits, self._lets_go = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            for end in (*self._others, self._lets_go, said):
                os.close(end)
            status = 1
            try:
                os.write(says, work().encode())
                status = 0
            except BaseException:  # noqa: BLE001 - the parent is told
                os.write(says, traceback.format_exc().encode())
            finally:
                os.close(says)
                os.read(waits, 1)
                # Not the exit handlers: they belong to pytest.
                os._exit(status)
        self._others.add(self._lets_go)
        os.close(says)
        os.close(waits)
        with os.fdopen(said, encoding="utf-8") as pipe:
            self.result = pipe.read()

    def end(self) -> None:
        """Let it end, and wait until it has.

        Raises:
            AssertionError: its work raised; the message is the stack trace.
        """
        self._others.remove(self._lets_go)
        os.close(self._lets_go)
        _, status = os.waitpid(self._pid, 0)
        assert status == 0, self.result


def in_child(work: Callable[[], str]) -> str:
    """Run ``work`` in a forked child and return what it returned."""
    child = Forked(work)
    child.end()
    return child.result
