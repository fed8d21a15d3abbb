"""Intervals of 95 % for means of paired differences, and for the ratio of two of them."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

# Two-sided 95 % quantiles of Student's t by degrees of freedom.
_T95 = (
    *((1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (6, 2.447), (7, 2.365)),
    *((8, 2.306), (9, 2.262), (10, 2.228), (11, 2.201), (12, 2.179), (13, 2.160), (14, 2.145)),
    *((15, 2.131), (16, 2.120), (17, 2.110), (18, 2.101), (19, 2.093), (20, 2.086), (22, 2.074)),
    *((24, 2.064), (26, 2.056), (28, 2.048), (30, 2.042), (40, 2.021), (60, 2.000), (120, 1.980)),
)
_T95_OF_MANY = 1.980


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval, in the unit of what was given."""

    value: float
    low: float
    high: float

    def __truediv__(self, by: float) -> Interval:
        return Interval(self.value / by, self.low / by, self.high / by)

    def __mul__(self, by: float) -> Interval:
        return self / (1 / by)

    def text(self, pattern: str) -> str:
        """Write it as ``value (low to high)``, each number by a format specification."""
        return f"{self.value:{pattern}} ({self.low:{pattern}} to {self.high:{pattern}})"


def student(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t; between two of the table, the larger."""
    known = [row[0] for row in _T95]
    at = bisect_left(known, degrees)
    if at == len(known):
        return _T95_OF_MANY
    return _T95[at if known[at] == degrees else at - 1][1]


def mean(values: Sequence[float]) -> Interval:
    """Return the mean of some values, paired differences as a rule; there must be two at least."""
    middle = statistics.mean(values)
    half = student(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return Interval(middle, middle - half, middle + half)


def ratio(above: Sequence[float], below: Sequence[float]) -> Interval | None:
    """Return the ratio of the means of two paired series, by Fieller's theorem.

    There is none where the mean below cannot be told from 0.
    """
    number = len(above)
    a, b = statistics.mean(above), statistics.mean(below)
    t2 = student(number - 1) ** 2
    aa = t2 * statistics.variance(above) / number
    bb = t2 * statistics.variance(below) / number
    ab = t2 * statistics.covariance(above, below) / number
    # The ends are the roots r of (a - r b)^2 = aa - 2 r ab + r^2 bb.
    square, middle, rest = b * b - bb, a * b - ab, a * a - aa
    if square <= 0:
        return None
    root = (middle * middle - square * rest) ** 0.5
    return Interval(a / b, (middle - root) / square, (middle + root) / square)
