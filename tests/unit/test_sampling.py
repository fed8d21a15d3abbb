"""Sampling at the sender: a trace is kept or dropped whole, and nothing else is sampled."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread
from types import ModuleType
from typing import Any

import flask
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from werkzeug.test import EnvironBuilder

from otel_dify import table as t
from otel_dify.export.journal.opened import Opened, begun
from otel_dify.export.journal.place import Home
from otel_dify.operations.current import APART, start
from otel_dify.operations.decision import HELD, Decision
from otel_dify.operations.operation import Operation
from otel_dify.sampling.probability import (
    NEVER,
    adjusted_count,
    decode,
    encode,
    randomness_of,
    read,
    threshold_of,
)
from tests.recording import Recording, recording, recording_by

RULES = "app=rare: 1%; app=often source=debugger: 1; app=often: 50%; app=never: 0; 25%"
_carried = TraceContextTextMapPropagator()
SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@pytest.fixture
def ruled() -> Iterator[Recording]:
    """Record with rules."""
    with recording(OTEL_DIFY_SAMPLING=RULES) as made:
        yield made


def caller(randomness: int, state: TraceState | None = None, *, flags: int = 1) -> Context:
    """Make the context of a caller from outside, whose trace has this randomness."""
    span = SpanContext((7 << 64) | randomness, 1, True, TraceFlags(flags), state)
    return trace.set_span_in_context(trace.NonRecordingSpan(span), Context())


def below(operation: Operation) -> Context:
    """Carry an operation's trace to another process, as its headers do."""
    headers: dict[str, str] = {}
    _carried.inject(headers, operation.context)
    return _carried.extract(headers, Context())


def threshold(span: ReadableSpan) -> int | None:
    """Return the threshold that a span has passed."""
    assert span.context is not None
    return read(span.context.trace_state).threshold


def passing(rate: float) -> int:
    """Return the least randomness that is kept at a rate."""
    return threshold_of(rate)


def test_by_default_everything_is_sent_and_nothing_is_said_of_it(recorded: Recording) -> None:
    request = start(t.REQUEST)
    start(t.RUN, parent=request.context).end()
    request.end()
    assert len(recorded.spans) == 2
    assert {bool(span.context.trace_state) for span in recorded.spans} == {False}


@pytest.mark.parametrize("kept", [True, False])
def test_what_ended_before_the_app_was_known_goes_with_it(ruled: Recording, kept: bool) -> None:
    """A search before anybody knows for which app; the request ends last and has its rate too."""
    request = start(t.REQUEST, parent=caller(passing(0.01) - (not kept)))
    start(t.RETRIEVAL, parent=request.context).end()
    assert ruled.spans == []
    run = start(t.RUN, {t.APP_ID: "rare", t.INVOKE_FROM: "web-app"}, parent=request.context)
    run.end()
    request.end()
    assert len(ruled.spans) == (3 if kept else 0)
    assert {threshold(span) for span in ruled.spans} <= {threshold_of(0.01)}


def test_what_is_not_sampled_is_counted_and_told_as_ever(ruled: Recording) -> None:
    names = ("dify.requests.total", "dify.workflow.duration", "dify.errors.total")
    for app in ("never", "often"):
        run = start(t.RUN, {t.APP_ID: app, t.INVOKE_FROM: "debugger"}, parent=caller(NEVER - 1))
        run.fail(ValueError("no"))
        run.end()
    assert [span.name for span in ruled.spans] == ["invoke_workflow"]
    for name in names:
        assert sorted(dict(labels)["app_id"] for labels in ruled.points(name)) == ["never", "often"]
    dropped, kept = (one for one in ruled.told if one.event_name == "dify.workflow.run")
    assert (dropped.trace_flags, kept.trace_flags) == (0, 1)
    assert dict(dropped.attributes)["exception.stacktrace"]


def test_content_of_a_span_that_is_not_sent_is_not_serialised() -> None:
    def costly() -> str:
        raise AssertionError("serialised for nothing")

    with recording("span_only", OTEL_DIFY_SAMPLING="0") as made:
        run = start(t.RUN, {t.RUN_INPUTS: costly})
        run.end()
    assert made.spans == []
    assert len(made.events) == 1


def test_a_trace_that_goes_on_elsewhere_is_decided_with_what_is_known(ruled: Recording) -> None:
    """Otherwise the other process would have to guess what this one learns later."""
    request = start(t.REQUEST, parent=caller(passing(0.25)))
    sent = start(t.SEND, parent=request.context)
    task = start(t.TASK, parent=below(sent))
    run = start(t.RUN, {t.APP_ID: "rare"}, parent=task.context)
    request.set(t.APP_ID, "rare")
    for operation in (run, task, sent, request):
        operation.end()
    assert {threshold(span) for span in ruled.spans} == {threshold_of(0.25)}
    assert len(ruled.spans) == 4


def test_what_no_rule_would_keep_is_not_held(ruled: Recording) -> None:
    request = start(t.REQUEST, parent=caller(passing(0.5) - 1))
    request.set(t.INVOKE_FROM, "web-app")
    start(t.RETRIEVAL, parent=request.context).end()
    assert request.decision is not None
    assert request.decision.settled
    assert not request.span_context.trace_flags.sampled
    request.end()
    assert ruled.spans == []


def test_no_more_is_held_than_may_be(ruled: Recording) -> None:
    request = start(t.REQUEST, parent=caller(NEVER - 1))
    for _ in range(HELD + 2):
        start(t.RETRIEVAL, parent=request.context).end()
    assert len(ruled.spans) == HELD + 2
    request.set(t.APP_ID, "rare")
    request.end()
    assert {threshold(span) for span in ruled.spans} == {threshold_of(0.25)}


def test_what_begins_apart_has_a_decision_of_its_own(ruled: Recording) -> None:
    request = start(t.REQUEST, parent=caller(passing(0.01) - 1))
    request.set(t.APP_ID, "rare")
    from opentelemetry import context as context_api

    apart = start(
        t.RUN,
        {t.APP_ID: "often", t.INVOKE_FROM: "debugger"},
        parent=context_api.set_value(APART, True, request.context),
    )
    assert apart.decision is not request.decision
    apart.end()
    request.end()
    assert [threshold(span) for span in ruled.spans] == [0]


@pytest.mark.parametrize(
    ("state", "flags", "rate"),
    [
        ("", 1, 0.25),  # a flag alone is no probability: our rule
        ("", 0, None),  # not sampled there, not sampled here
        ("ot=th:8", 1, 0.5),  # sampled there at a rate: that
        ("ot=th:fffffffffffff", 1, 0.25),  # cannot be: it would not be here
        ("ot=th:xyz", 1, 0.25),
        ("ot=rv:c0000000000000", 1, 0.25),
        ("ot=rv:b0000000000000", 1, None),  # the randomness that is said, not that of the id
        ("ot=th:8;rv:90000000000000", 1, 0.5),
        ("vendor=x,ot=a:b", 1, 0.25),
    ],
)
def test_a_caller_that_has_decided_is_followed(
    ruled: Recording, state: str, flags: int, rate: float | None
) -> None:
    given_state = TraceState.from_header([state]) if state else None
    start(t.REQUEST, parent=caller(0xE0000000000000, given_state, flags=flags)).end()
    assert [threshold(span) for span in ruled.spans] == (
        [] if rate is None else [threshold_of(rate)]
    )
    for span in ruled.spans:
        assert span.context.trace_state.get("vendor") == ("x" if "vendor" in state else None)
        before, after = read(given_state), read(span.context.trace_state)
        assert (after.randomness, after.rest) == (before.randomness, before.rest)


@pytest.mark.parametrize("rules", ["", "1"])
@pytest.mark.parametrize("sampler", ["always_on", "traceidratio"])
def test_a_sampler_that_is_not_of_parents_follows_no_caller_but_dify(
    sampler: str, rules: str
) -> None:
    with recording(OTEL_TRACES_SAMPLER=sampler, OTEL_DIFY_SAMPLING=rules) as made:
        start(t.REQUEST, {t.HTTP_METHOD: "GET"}, parent=caller(5, flags=0)).end()
        start(t.TASK, {t.TASK_NAME: "work"}, parent=caller(5, flags=0)).end()
    assert [span.name for span in made.spans] == ["GET"]


@pytest.mark.parametrize(("sampler", "rate"), [("traceidratio", 0.1), ("always_off", 0)])
def test_the_standard_samplers_are_rates_too(sampler: str, rate: float) -> None:
    environment = {
        "OTEL_TRACES_SAMPLER": f"parentbased_{sampler}",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }
    with recording(**environment) as made:
        for randomness in (0, passing(0.1) - 1, passing(0.1), NEVER - 1):
            start(t.REQUEST, parent=caller(randomness)).end()
    assert [threshold(span) for span in made.spans] == ([threshold_of(rate)] * 2 if rate else [])


def test_foreign_spans_go_with_the_operation_that_they_lie_in(ruled: Recording) -> None:
    """Their context is fixed when they begin, so the trace is decided on then."""
    for randomness in (passing(0.25) - 1, passing(0.25)):
        request = start(t.REQUEST, parent=caller(randomness))
        foreign = ruled.tracer.start_span("foreign", request.context)
        foreign.end()
        request.set(t.APP_ID, "rare")
        request.end()
    assert len(ruled.spans) == 2
    assert {threshold(span) for span in ruled.spans} == {threshold_of(0.25)}


def test_a_foreign_span_alone_has_the_rate_of_what_no_rule_fits(ruled: Recording) -> None:
    for randomness in (passing(0.25) - 1, passing(0.25)):
        outer = ruled.tracer.start_span("outer", caller(randomness), kind=SpanKind.SERVER)
        inside = trace.set_span_in_context(outer, Context())
        start(t.RUN, {t.APP_ID: "rare"}, parent=inside).end()
        outer.end()
    assert [threshold(span) for span in ruled.spans] == [threshold_of(0.25)] * 2


def test_the_collector_is_told_the_rate_of_what_it_is_to_drop() -> None:
    with recording(OTEL_DIFY_SAMPLING=RULES, OTEL_DIFY_SAMPLING_AT="collector") as made:
        request = start(t.REQUEST, parent=caller(5))
        request.set(t.APP_ID, "rare")
        send = start(t.SEND, parent=request.context)
        task = start(t.TASK, parent=below(send))
        for operation in (task, send, request):
            operation.end()
    assert len(made.spans) == 3
    for span in made.spans:
        assert span.context.trace_state.get("otel_dify") == encode(threshold_of(0.01))
        assert threshold(span) == 0


def answered(app: flask.Flask, **headers: str) -> None:
    """Have an app answer a request."""
    environ = EnvironBuilder("/", headers=list(headers.items())).get_environ()
    body: Any = app(environ, lambda *_: lambda _: None)
    b"".join(body)
    body.close()


@pytest.mark.parametrize("at", ["sender", "collector"])
def test_a_trace_that_a_caller_asks_for_is_kept(
    watched: Callable[[str], ModuleType], at: str
) -> None:
    app = watched("flask").Flask(__name__)
    app.add_url_rule("/", "/", lambda: "hello")
    with recording(OTEL_DIFY_SAMPLING="0", OTEL_DIFY_SAMPLING_AT=at) as made:
        answered(app, **{"X-Debug-Id": "case-7"})
        answered(app, **{"X-Debug-Id": "no id\t"})
    asked = made.spans[0]
    assert dict(asked.attributes or {})["dify.debug_id"] == "case-7"
    assert threshold(asked) == 0
    assert asked.context.trace_state.get("otel_dify") == ("0" if at == "collector" else None)
    assert len(made.spans) == (1 if at == "sender" else 2)


def test_a_trace_that_is_asked_for_is_kept_where_its_caller_has_dropped_it(
    recorded: Recording,
) -> None:
    for asked in (False, True):
        request = start(t.REQUEST, parent=caller(5, flags=0))
        if asked:
            request.keep()
        start(t.RUN, parent=request.context).end()
        request.end()
    assert [threshold(span) for span in recorded.spans] == [0, 0]


@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_noted_for_recovery_is_noted_as_it_was_decided(
    ruled: Recording, tmp_path: Path, sampled: bool
) -> None:
    """A request that is killed later must not be the one span of a trace that was dropped."""
    opened = Opened(Home(tmp_path, "api-0", b""))
    ruled.signals.recorder._opened = opened
    request = start(t.REQUEST, parent=caller(passing(0.01) - (not sampled)))
    request.set(t.APP_ID, "rare")
    start(t.SEND, parent=request.context).end()
    assert opened._home.made is not None
    [(_, noted)] = begun(opened._home.made)
    assert noted.flags == int(sampled)
    assert noted.state == ("ot=th:fd70a" if sampled else "")
    request.end()
    assert not opened.any()


# What a process of each sort begins with, and what its operation that carries the trace on is.
SORTS = {"api": (t.REQUEST, t.SEND), "worker": (t.TASK, t.HTTP_CALL)}
apps = st.sampled_from(["rare", "often", "never", "", "other"])
sources = st.sampled_from(["debugger", "web-app", ""])
services = st.lists(
    st.tuples(
        st.sampled_from(["", RULES, "10%", "app=rare: 1; 0.3"]),  # its setting
        apps,
        sources,
        st.integers(0, 3),  # when it learns of the app: before, in the middle, after, never
    ),
    min_size=1,
    max_size=4,
)
states = st.none() | st.builds(
    lambda members: TraceState([("ot", ";".join(members))]),
    st.lists(
        st.one_of(
            st.integers(0, NEVER - 1).map(lambda one: f"th:{encode(one)}"),
            st.integers(0, NEVER - 1).map(lambda one: f"rv:{one:014x}"),
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda member: member[:2],
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    services,
    st.integers(0, NEVER - 1),
    states,
    st.booleans(),
    st.sampled_from(["sender", "collector"]),
)
def test_there_is_one_decision_everywhere(
    mix: list[tuple[str, str, str, int]],
    randomness: int,
    state: TraceState | None,
    flagged: bool,
    at: str,
) -> None:
    """API, worker, plugin daemon and back, each with settings of its own and learning at its time.

    The processes of Dify follow the first of them that has a rate; before that all is kept.
    """
    made = [Recording(OTEL_DIFY_SAMPLING=rules, OTEL_DIFY_SAMPLING_AT=at) for rules, *_ in mix]
    context = caller(randomness, state, flags=int(flagged))
    ended = []
    for number, (one, (_, app, source, when)) in enumerate(zip(made, mix, strict=True)):
        first, onward = SORTS["worker" if number else "api"]
        known = {t.APP_ID: app, t.INVOKE_FROM: source}
        with recording_by(one):
            outer = start(first, known if when == 0 else None, parent=context)
            early = start(t.RETRIEVAL, parent=outer.context)
            early.end()
            if when == 1:
                start(t.RUN, known, parent=outer.context).end()
            onwards = start(onward, parent=outer.context)
            context = below(onwards)
            ended.append((one, outer, onwards, known if when == 2 else {}))
    for one, outer, onwards, late in reversed(ended):
        with recording_by(one):
            start(t.RUN, late, parent=outer.context).end()
            onwards.end()
            outer.end()
    sent = [len(one.spans) for one in made]
    whole = [4 + (when == 1) for *_, when in mix]
    assert sent in (whole, [0] * len(mix))
    spans = [span for one in made for span in one.spans]
    ruled = [bool(rules) for rules, *_ in mix]
    states_sent = {(threshold(span), span.context.trace_state.get("otel_dify")) for span in spans}
    if spans and (ruled[0] or not any(ruled)):
        assert len(states_sent) == 1
        [(passed, _)] = states_sent
        known_randomness = read(state).randomness
        actual = randomness if known_randomness is None else known_randomness
        if any(ruled):
            assert passed is not None
            assert actual >= passed
    if not flagged:
        assert not spans


def test_what_was_there_can_be_told_from_what_was_kept() -> None:
    """Sums of adjusted counts are within five standard deviations of what there was, app by app."""
    traces = 6_000
    rates = {"rare": 0.01, "often": 0.5, "other": 0.25}
    chance = random.Random(11)  # noqa: S311 - ids of a test
    with recording(OTEL_DIFY_SAMPLING=RULES) as made:
        for _ in range(traces):
            trace_id = chance.getrandbits(128)
            for app in rates:
                parent = caller(randomness_of(trace_id))
                request = start(t.REQUEST, parent=parent)
                start(
                    t.RUN, {t.APP_ID: app, t.INVOKE_FROM: "web-app"}, parent=request.context
                ).end()
                request.end()
    kept: Counter[str] = Counter()
    estimated = dict.fromkeys(rates, 0.0)
    for span in made.spans:
        if span.kind is SpanKind.SERVER:
            passed = threshold(span)
            assert passed is not None
            app = str(dict(span.attributes or {})["dify.app_id"])
            kept[app] += 1
            estimated[app] += adjusted_count(passed)
    for app, rate in rates.items():
        deviation = (traces * (1 / rate - 1)) ** 0.5
        assert abs(estimated[app] - traces) < 5 * deviation, (app, kept[app])
    assert kept["rare"] < kept["other"] < kept["often"]
    assert made.counts("http.server.request.duration", "http.route") == {None: 3 * traces}
    assert decode("e666") == threshold_of(0.1)


def test_two_threads_that_settle_a_trace_at_once_come_to_one_decision() -> None:
    """The first holds: the trace may have gone on elsewhere with it already."""
    lasts = []
    for _ in range(200):
        decision = Decision(NEVER - 1, None, drops=True)
        ready, seen = Barrier(2), []

        def settle(rate: float, decision: Decision = decision, ready: Barrier = ready) -> None:
            ready.wait()
            decision.settle(threshold_of(rate))
            seen.append(decision.state)  # noqa: B023 - joined below

        threads = [Thread(target=settle, args=(rate,)) for rate in (0.5, 0.25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen[0] is seen[1] is decision.state
        lasts.append(read(decision.state).threshold)
    assert set(lasts) <= {threshold_of(0.5), threshold_of(0.25)}
