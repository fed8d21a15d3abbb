"""Folded queries: what an operation keeps of the queries below it that have no span.

On a real Dify 95 % of all spans would be queries, most of them without a parent; they are nearly
the whole cost of tracing, and nobody looks at them. Their metrics are recorded all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from otel_dify.process import process

SHAPES = 32
"""Statements of one operation that are counted one by one; later ones only add to the sums."""
REPEATED = 10
"""From this number on the same statement in one operation is worth a word: a loop asks for each
row what one query could have asked for all."""


class Folded:
    """Number, seconds and slowest of the queries folded into one operation, by database.

    Attributes:
        systems: number and nanoseconds by ``db.system.name``.
        slowest_ns: the longest of them.
    """

    __slots__ = ("_shapes", "slowest_ns", "systems")

    def __init__(self) -> None:
        self.systems: dict[str, list[int]] = {}
        self.slowest_ns = 0
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

    def repeated(self) -> Iterator[tuple[str, int, int]]:
        """List the statements that came many times: text, number, nanoseconds."""
        for statement, (number, elapsed_ns) in list(self._shapes.items()):
            if number >= REPEATED:
                yield statement, number, elapsed_ns
