"""Metric points into what moved: the difference that a stretch of time made to each series."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from otel_dify.cli.records import Point, Process


@dataclass(frozen=True, slots=True)
class Move:
    """What became of one series (metric and attributes), all processes together.

    Attributes:
        kind: as of a point.
        value: what was added to a sum, or to the sum of a distribution; a gauge's last value.
        count: values added to a distribution.
        bounds: upper bounds of its buckets but the last.
        buckets: values added to each bucket; empty where they are not known.
    """

    name: str
    unit: str
    kind: str
    attributes: tuple[tuple[str, str], ...]
    value: float
    count: int
    bounds: tuple[float, ...]
    buckets: tuple[int, ...]

    def quantile(self, q: float) -> float | None:
        """Estimate a quantile as PromQL's ``histogram_quantile`` does: linear within its bucket.

        Returns:
            the estimate, the highest bound where it lies above it, None where no buckets are known.
        """
        if not self.bounds or not self.count:
            return None
        rank, below = q * self.count, 0
        for place, held in enumerate(self.buckets[: len(self.bounds)]):
            if held and below + held >= rank:
                upper = self.bounds[place]
                lower = self.bounds[place - 1] if place else min(0.0, upper)
                return lower + (upper - lower) * (rank - below) / held
            below += held
        return self.bounds[-1]


def moved(points: Iterable[Point], start_ns: int, end_ns: int) -> list[Move]:
    """Tell what moved between two moments, by name and attributes.

    Metrics are exported at intervals, so the stretch is widened to the last export before its
    start and the first one after its end. A series that starts within it counts from zero.
    """
    series: dict[tuple[str, tuple[tuple[str, str], ...], Process], list[Point]] = defaultdict(list)
    for point in points:
        series[point.name, point.attributes, point.process].append(point)
    moves: dict[tuple[str, tuple[tuple[str, str], ...]], Move] = {}
    for (name, attributes, _), found in sorted(series.items(), key=lambda item: item[0][:2]):
        move = _of_series(sorted(found, key=lambda p: p.at_ns), start_ns, end_ns)
        if move is not None:
            key = name, attributes
            moves[key] = _together(moves[key], move) if key in moves else move
    return [m for m in moves.values() if m.count or (m.value and m.kind != "distribution")]


def _of_series(points: Sequence[Point], start_ns: int, end_ns: int) -> Move | None:
    before = [p for p in points if p.at_ns < start_ns]
    during = [p for p in points if start_ns <= p.at_ns < end_ns]
    after = [p for p in points if p.at_ns >= end_ns]
    within = during + after[:1]
    if not within:
        return None
    if within[-1].kind == "gauge":
        return _move(within[-1])
    if not within[-1].cumulative:
        return reduce(_together, map(_move, within))
    # A later start is a reset: the process began to count anew, and what each life of it counted
    # adds up.
    lives = {point.start_ns: _move(point) for point in within}
    if before and before[-1].start_ns in lives:
        start = before[-1].start_ns
        lives[start] = _together(lives[start], _move(before[-1]), sign=-1)
    return reduce(_together, lives.values())


def _move(point: Point) -> Move:
    return Move(
        name=point.name,
        unit=point.unit,
        kind=point.kind,
        attributes=point.attributes,
        value=point.value,
        count=point.count,
        bounds=point.bounds,
        buckets=point.buckets,
    )


def _together(one: Move, other: Move, sign: int = 1) -> Move:
    """Add two moves of one series, or take the second off; a gauge keeps the later."""
    if one.kind == "gauge":
        return other
    comparable = one.bounds == other.bounds and len(one.buckets) == len(other.buckets)
    return replace(
        one,
        value=one.value + sign * other.value,
        count=one.count + sign * other.count,
        # Buckets of other bounds cannot be added; without them there are no quantiles.
        bounds=one.bounds if comparable else (),
        buckets=tuple(x + sign * y for x, y in zip(one.buckets, other.buckets, strict=True))
        if comparable
        else (),
    )
