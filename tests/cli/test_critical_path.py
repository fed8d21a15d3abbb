"""The critical path covers the whole, once, and goes where the waiting was."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from otel_dify import table as t
from otel_dify.cli.analysis import analyse
from otel_dify.cli.critical_path import critical_path
from otel_dify.cli.records import Process, Span
from otel_dify.cli.traces import Trace
from tests.cli.conftest import Ran
from tests.cli.reading import traces_in

_MS = 1_000_000
_HERE = Process("dify-api")


def span(
    number: int, start: int, end: int, parent: int = 0, *, queued: float = 0, queries: float = 0
) -> Span:
    """Make a span: times in milliseconds, waiting in the queue and queries in seconds."""
    attributes = {t.QUEUE_WAIT.key: queued, t.DB_TIME.key: queries}
    return Span(
        trace_id="1" * 32,
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        name=f"span {number}",
        start_ns=start * _MS,
        end_ns=end * _MS,
        attributes={key: value for key, value in attributes.items() if value},
        failed=False,
        message="",
        process=_HERE,
    )


def path(*spans: Span) -> list[tuple[str, int, int]]:
    """Return the critical path as (span, start, end) in milliseconds; waiting has a question mark."""
    trace = Trace("1" * 32, tuple(sorted(spans, key=lambda one: one.start_ns)))
    return [
        (
            ("?" if one.waiting else "") + (one.span.name if one.span else "nothing"),
            one.start_ns // _MS,
            one.end_ns // _MS,
        )
        for one in critical_path(trace).stretches
    ]


def test_between_its_children_the_time_is_the_parents() -> None:
    assert path(span(1, 0, 100), span(2, 10, 40, 1), span(3, 50, 90, 1)) == [
        ("span 1", 0, 10),
        ("span 2", 10, 40),
        ("span 1", 40, 50),
        ("span 3", 50, 90),
        ("span 1", 90, 100),
    ]


def test_of_parallel_children_the_one_that_finished_last_was_waited_for() -> None:
    assert path(span(1, 0, 100), span(2, 10, 95, 1), span(3, 10, 40, 1), span(4, 12, 60, 1)) == [
        ("span 1", 0, 10),
        ("span 2", 10, 95),
        ("span 1", 95, 100),
    ]


def test_a_pools_next_item_waited_for_the_one_that_made_room() -> None:
    items = (span(2, 0, 50, 1), span(3, 0, 80, 1), span(4, 50, 120, 1))
    assert path(span(1, 0, 120), *items) == [("span 2", 0, 50), ("span 4", 50, 120)]


def test_a_task_that_outlives_its_sender_counts_below_the_request_that_waits_for_it() -> None:
    request, send = span(1, 0, 1000), span(2, 100, 110, 1)
    task = span(3, 400, 900, 2, queued=0.295)
    assert path(request, send, task) == [
        ("span 1", 0, 100),
        ("span 2", 100, 105),
        ("?span 3", 105, 110),
        ("?span 3", 110, 400),
        ("span 3", 400, 900),
        ("span 1", 900, 1000),
    ]


def test_a_child_that_ends_a_little_after_its_sibling_began_is_not_lost() -> None:
    """Clocks of threads and processes differ."""
    assert path(span(1, 0, 100), span(2, 0, 51, 1), span(3, 50, 100, 1)) == [
        ("span 2", 0, 50),
        ("span 3", 50, 100),
    ]
    earlier = span(4, 0, 10, 1)
    assert path(span(1, 0, 100), earlier, span(2, 12, 51, 1), span(3, 50, 100, 1)) == [
        ("span 4", 0, 10),
        ("span 1", 10, 12),
        ("span 2", 12, 50),
        ("span 3", 50, 100),
    ]


def test_what_goes_on_when_all_have_their_answer_kept_nobody_waiting() -> None:
    assert path(span(1, 0, 100), span(2, 90, 95, 1), span(3, 96, 5000, 2))[-1][2] == 100


def test_an_open_span_lasts_until_the_last_that_is_known() -> None:
    assert path(span(1, 0, 0), span(2, 10, 70, 1)) == [("span 1", 0, 10), ("span 2", 10, 70)]


def test_a_gap_between_two_roots_is_nobodys() -> None:
    run = span(2, 300, 400)
    as_run = Span(
        **{name: getattr(run, name) for name in Span.__slots__}
        | {"name": "invoke_workflow", "kind": 1}
    )
    assert path(span(1, 0, 100), as_run) == [
        ("span 1", 0, 100),
        ("nothing", 100, 300),
        ("invoke_workflow", 300, 400),
    ]


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Make traces of any shape: children before, after and beside their parents, open, circular."""
    times = st.integers(0, 60)
    spans: list[Span] = []
    for number in range(1, draw(st.integers(1, 14)) + 1):
        start, length = draw(times), draw(st.integers(0, 60))
        end = draw(st.sampled_from((start + length, start + length, 0)))
        parent = draw(st.integers(0, 14))
        queued = draw(st.sampled_from((0.0, 0.0, 0.01)))
        queries = draw(st.sampled_from((0.0, 0.005, 0.5)))
        spans.append(span(number, start, end, parent, queued=queued, queries=queries))
    return Trace("1" * 32, tuple(sorted(spans, key=lambda one: one.start_ns)))


@given(traces())
def test_the_path_covers_its_time_without_gap_or_overlap(trace: Trace) -> None:
    found = critical_path(trace)
    at = found.start_ns
    for one in found.stretches:
        assert one.start_ns == at
        assert one.end_ns > at
        at = one.end_ns
    assert at == found.end_ns


@given(traces())
def test_each_stretch_lies_in_its_span(trace: Trace) -> None:
    for one in critical_path(trace).stretches:
        if one.span is not None and not one.waiting:
            assert one.start_ns >= one.span.start_ns
            assert one.end_ns <= (one.span.end_ns or trace.end_ns)


@given(traces())
def test_shares_come_to_the_whole(trace: Trace) -> None:
    found = analyse(trace)
    assert sum(one.ns for one in found.spent) == found.path.duration_ns
    assert sum(one.share for one in found.spent) == (1000 if found.path.duration_ns else 0)


def _nested(draw: st.DrawFn, start: int, end: int, parent: int, spans: list[Span]) -> None:
    number = len(spans) + 1
    spans.append(span(number, start, end, parent))
    for _ in range(draw(st.integers(0, 3)) if end - start > 2 and len(spans) < 20 else 0):
        begins = draw(st.integers(start, end - 1))
        _nested(draw, begins, draw(st.integers(begins + 1, end)), number, spans)


@st.composite
def nested(draw: st.DrawFn) -> Sequence[Span]:
    """Make a tree in which every child lies in its parent, as CRISP has them."""
    spans: list[Span] = []
    _nested(draw, 0, 60, 0, spans)
    return spans


@given(nested())
def test_of_one_root_the_shares_come_to_its_duration(spans: Sequence[Span]) -> None:
    found = path(*spans)
    assert sum(end - start for _, start, end in found) == 60


@given(nested())
def test_each_moment_is_of_an_operation_that_ran_and_whose_children_were_not_waited_for(
    spans: Sequence[Span],
) -> None:
    """CRISP's own: the stretch before the end of a parent is of the child that finished last."""
    found = path(*spans)
    children = [one for one in spans if one.parent_id == spans[0].span_id]
    last = max((one.end_ns // _MS for one in children), default=0)
    if last < 60:
        assert found[-1] == ("span 1", last, 60)
    else:
        assert found[-1][0] != "span 1"


def test_real_runs_are_covered_too(ran: Ran) -> None:
    for trace in traces_in(ran.files):
        found = analyse(trace)
        assert sum(one.duration_ns for one in found.path.stretches) == found.path.duration_ns
        assert sum(one.ns for one in found.spent) == found.path.duration_ns
