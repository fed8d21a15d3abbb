"""Folded operations: what an operation keeps of those below it that have no span.

Queries have none where they are fast. On a real Dify 95 % of all spans would be queries, most of
them without a parent; they are nearly the whole cost of tracing, and nobody looks at them. Others
have none where there are too many (``allowance.py``). Metrics are recorded all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from otel_dify.process import process

SHAPES = 32
"""Statements of one operation that are counted one by one; later ones only add to the sums."""
REPEATED = 10
"""From this number on the same statement in one operation is worth a word: a loop asks for each
row what one query could have asked for all."""


@dataclass(slots=True)
class LeftOut:
    """Operations of one kind that were left out.

    Attributes:
        number: how many.
        failed: those of them that failed.
        elapsed_ns: what all of them took, nanoseconds.
        slowest_ns: the longest of them.
    """

    number: int = 0
    failed: int = 0
    elapsed_ns: int = 0
    slowest_ns: int = 0


class Folded:
    """Number, seconds and slowest of what was folded into one operation.

    Attributes:
        systems: number and nanoseconds of queries by ``db.system.name``.
        slowest_ns: the longest of them.
        left_out: what was left out of all else, by the name of its kind.
    """

    __slots__ = ("_shapes", "left_out", "slowest_ns", "systems")

    def __init__(self) -> None:
        self.systems: dict[str, list[int]] = {}
        self.slowest_ns = 0
        self.left_out: dict[str, LeftOut] = {}
        self._shapes: dict[str, list[int]] = {}

    def add(self, system: str, elapsed_ns: int, statement: str) -> None:
        """Add a query; several threads may do so at once."""
        with process.counting:
            sums = self.systems.get(system)
            if sums is None:
                sums = self.systems[system] = [0, 0]
            sums[0] += 1
            sums[1] += elapsed_ns
            if elapsed_ns > self.slowest_ns:  # noqa: PLR1730 - a call less for each query
                self.slowest_ns = elapsed_ns
            if statement:
                shape = self._shapes.get(statement)
                if shape is not None:
                    shape[0] += 1
                    shape[1] += elapsed_ns
                elif len(self._shapes) < SHAPES:
                    self._shapes[statement] = [1, elapsed_ns]

    def leave_out(self, kind: str, elapsed_ns: int, *, has_failed: bool) -> None:
        """Add an operation of another kind; several threads may do so at once."""
        with process.counting:
            sums = self.left_out.get(kind)
            if sums is None:
                sums = self.left_out[kind] = LeftOut()
            sums.number += 1
            sums.failed += has_failed
            sums.elapsed_ns += elapsed_ns
            sums.slowest_ns = max(sums.slowest_ns, elapsed_ns)

    def repeated(self) -> Iterator[tuple[str, int, int]]:
        """List the statements that came many times: text, number, nanoseconds."""
        for statement, (number, elapsed_ns) in list(self._shapes.items()):
            if number >= REPEATED:
                yield statement, number, elapsed_ns
