"""What moved: differences of metric points, and quantiles of what is left."""

from __future__ import annotations

from dataclasses import replace

import pytest

from otel_dify.cli.moves import moved
from otel_dify.cli.records import Point, Process

A, B = Process("api", "a"), Process("worker", "b")


def point(at: int, value: float, **changes: object) -> Point:
    made = Point("n", "1", "sum", True, (), 0, at, A, value)
    return replace(made, **changes)  # type: ignore[arg-type] # fields by name


def values(points: list[Point]) -> list[float]:
    return [m.value for m in moved(points, 10, 20)]


def test_a_counter_moves_by_the_difference_from_the_export_before_to_the_one_after() -> None:
    assert values([point(5, 2), point(9, 3), point(15, 6), point(21, 7), point(30, 99)]) == [4]


def test_a_series_that_starts_within_counts_from_zero() -> None:
    assert values([point(25, 7)]) == [7]


def test_what_stood_still_is_left_out() -> None:
    assert values([point(9, 3), point(21, 3)]) == []


def test_what_was_exported_before_only_is_left_out() -> None:
    assert values([point(9, 3)]) == []


def test_processes_add_up() -> None:
    assert values([point(9, 3), point(21, 5), point(22, 10, process=B)]) == [12]


def test_a_restarted_process_adds_both_of_its_lives() -> None:
    assert values([point(9, 3), point(12, 5), point(21, 4, start_ns=13)]) == [6]


def test_delta_points_add_up() -> None:
    deltas = [point(at, 2, cumulative=False) for at in (5, 12, 18, 21, 30)]
    assert values(deltas) == [6]


def test_a_gauge_shows_its_last_value() -> None:
    assert values([point(9, 3, kind="gauge"), point(21, 5, kind="gauge")]) == [5]


def histogram(at: int, buckets: tuple[int, ...], total: float, **changes: object) -> Point:
    made = point(at, total, kind="distribution", count=sum(buckets), bounds=(1.0, 2.0, 4.0))
    return replace(made, buckets=buckets, **changes)  # type: ignore[arg-type] # fields by name


@pytest.mark.parametrize(
    ("before", "after", "q", "expected"),
    [
        # histogram_quantile of Prometheus on the differences of the buckets gives the same.
        ((0, 0, 0, 0), (0, 4, 0, 0), 0.5, 1.5),
        ((9, 0, 0, 0), (9, 0, 2, 0), 0.95, 3.9),
        ((0, 0, 0, 0), (10, 0, 0, 0), 0.5, 0.5),
        ((0, 0, 0, 0), (1, 0, 0, 9), 0.95, 4.0),
    ],
)
def test_quantiles_are_of_what_was_added(
    before: tuple[int, ...], after: tuple[int, ...], q: float, expected: float
) -> None:
    [move] = moved([histogram(9, before, 1), histogram(21, after, 9)], 10, 20)
    assert move.quantile(q) == pytest.approx(expected)
    assert (move.count, move.value) == (sum(after) - sum(before), 8)


def test_buckets_of_other_bounds_leave_count_and_sum_but_no_quantile() -> None:
    other = replace(histogram(22, (1, 1, 1), 3), bounds=(1.0, 8.0), process=B)
    [move] = moved([histogram(21, (1, 1, 1, 1), 9), other], 10, 20)
    assert (move.count, move.value, move.quantile(0.5)) == (7, 12, None)
