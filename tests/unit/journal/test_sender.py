"""The sender: nothing but what a backend refuses for itself is given up, and that is counted."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_dify import guard
from otel_dify.export.adoption import Adoption
from otel_dify.export.delivery import Delivery, lost
from otel_dify.export.journal.journal import Journal
from otel_dify.export.progress import Progress, Uncounted
from otel_dify.export.requests import Requests
from otel_dify.export.sender import DENIED_S, LAST_RETRY_S, REFUSED_IN_A_ROW, Sender
from otel_dify.export.sending.outcome import Delivered, Denied, Outcome, Refused, Retry
from otel_dify.process import process
from tests.unit.journal.journals import NO_LIMIT, home_in, journal_in, reasons, record

type Answer = Callable[[list[str]], Outcome]


class Backend:
    """A transport to what answers as it is told, and remembers what it has taken.

    Args:
        answer: says what comes of the spans of a request.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked = 0
        self.taken: list[str] = []
        self.timeouts: list[float] = []

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        """Send a request."""
        request = ExportTraceServiceRequest.FromString(body)
        found = [
            span.name
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        self.asked += 1
        self.timeouts.append(timeout_s)
        outcome = self.answer(found)
        if isinstance(outcome, Delivered):
            self.taken += found
        return outcome

    def close(self) -> None:
        """Let go of the connection."""


class Rig:
    """A sender whose thread does not run: the test lets it work, and sets the clock."""

    def __init__(self, root: Path | None, answer: Answer) -> None:
        self.backend = Backend(answer)
        self.home = home_in(root)
        self.journal: Journal = journal_in(self.home, NO_LIMIT, 64)
        self.now = 1_000.0
        self.sender = Sender(
            self.journal,
            Requests(
                "traces",
                self.backend,
                delivery=Delivery("traces", "the backend", "it waits"),
                progress=Progress(Uncounted(), "traces", "http/protobuf"),
                timeout_s=10,
            ),
            delay_s=1,
            oldest_s=3_600,
            chance=random.Random(1),  # noqa: S311 - spreads attempts
        )

    def write(self, *names: str) -> None:
        """Write records."""
        for name in names:
            self.journal.append(0, record(name))

    def work(self, after_s: float = 0.0) -> None:
        """Let the sender do once what its thread does again and again."""
        self.now += after_s
        self.sender._work()


@pytest.fixture(autouse=True)
def nothing_lost_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each test count what it loses, and hear what is said once."""
    monkeypatch.setattr(process.kept(guard.Failures), "said", set())
    lost().clear()
    yield
    lost().clear()


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Answer], Rig]:
    """Return what makes a sender to a backend that answers as it is told."""

    def make(answer: Answer) -> Rig:
        made = Rig(tmp_path, answer)
        monkeypatch.setattr(time, "monotonic", lambda: made.now)
        return made

    return make


def take_all(_: list[str]) -> Outcome:
    """Take every request."""
    return Delivered()


def refusing(*poison: str) -> Answer:
    """Refuse a request that has one of some spans in it."""

    def answer(names: list[str]) -> Outcome:
        return Refused("bad span") if set(poison) & set(names) else Delivered()

    return answer


def test_what_waits_is_sent_in_order(rig: Callable[[Answer], Rig]) -> None:
    made = rig(take_all)
    made.write(*"abc")
    made.work()
    made.write("d")
    made.work(1)
    assert made.backend.taken == list("abcd")
    assert made.journal.waiting == 0
    assert reasons() == {}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 99), max_size=REFUSED_IN_A_ROW - 1))
def test_poison_alone_is_left_out(poison: set[int]) -> None:
    """Wherever it lies among a hundred records."""
    lost().clear()
    made = Rig(None, refusing(*(f"{number}" for number in poison)))
    made.write(*(f"{number}" for number in range(100)))
    made.work()
    assert made.backend.taken == [f"{n}" for n in range(100) if n not in poison]
    assert reasons() == ({"refused": len(poison)} if poison else {})
    assert made.journal.waiting == 0
    made.write("next")
    made.work(1)
    assert made.backend.taken[-1] == "next"


def test_a_backend_that_refuses_everything_loses_a_few_and_not_all(
    rig: Callable[[Answer], Rig],
) -> None:
    """It is its fault then, or the operator's: what waits is worth keeping."""
    made = rig(lambda _: Refused("not here"))
    made.write(*(f"{number}" for number in range(60)))
    made.work()
    assert reasons() == {"refused": REFUSED_IN_A_ROW}
    made.work(1)
    asked = made.backend.asked
    made.work(DENIED_S / 2)
    assert made.backend.asked == asked
    made.work(DENIED_S)
    assert made.backend.asked == asked + 1
    assert reasons() == {"refused": REFUSED_IN_A_ROW}
    made.backend.answer = take_all
    made.work(DENIED_S)
    assert made.backend.taken == [f"{number}" for number in range(REFUSED_IN_A_ROW, 60)]


def test_a_denied_access_loses_nothing_and_is_tried_slowly(
    rig: Callable[[Answer], Rig], caplog: pytest.LogCaptureFixture
) -> None:
    made = rig(lambda _: Denied("401: a token is needed"))
    made.write(*"ab")
    made.work()
    for _ in range(10):
        made.work(1)
    assert made.backend.asked == 1
    made.work(DENIED_S)
    assert made.backend.asked == 2
    made.backend.answer = take_all
    made.work(DENIED_S)
    assert made.backend.taken == ["a", "b"]
    assert reasons() == {}
    said = [line.getMessage() for line in caplog.records]
    assert len(said) == 2
    assert "401: a token is needed" in said[0]
    assert "delivered again" in said[1]


def test_what_is_worth_another_try_is_tried_ever_more_slowly_and_for_ever(
    rig: Callable[[Answer], Rig],
) -> None:
    made = rig(lambda _: Retry("connection refused"))
    made.write("a")
    at = []
    for _ in range(2_000):
        before = made.backend.asked
        made.work(0.25)
        if made.backend.asked > before:
            at.append(made.now)
    waits = [after - before for before, after in pairwise(at)]
    assert waits[0] <= 1.25
    assert min(waits[6:]) >= LAST_RETRY_S / 2
    assert max(waits) <= LAST_RETRY_S + 0.25
    assert made.journal.waiting == 1
    made.backend.answer = take_all
    made.work(LAST_RETRY_S)
    assert made.backend.taken == ["a"]


def test_a_backend_that_asks_for_time_gets_it(rig: Callable[[Answer], Rig]) -> None:
    made = rig(lambda _: Retry("429", 120.0))
    made.write("a")
    made.work()
    for _ in range(119):
        made.work(1)
    assert made.backend.asked == 1
    made.work(1.5)
    assert made.backend.asked == 2


def test_what_one_half_needs_is_not_sent_twice_to_the_other(rig: Callable[[Answer], Rig]) -> None:
    """Of a batch that is split the first half arrives, and then the backend goes away."""
    made = rig(take_all)
    made.backend.answer = lambda names: (
        Refused("too much") if len(names) > 2 else Retry("gone") if "c" in names else Delivered()
    )
    made.write(*"abcd")
    made.work()
    assert made.backend.taken == ["a", "b"]
    made.backend.answer = take_all
    made.work(LAST_RETRY_S)
    assert made.backend.taken == ["a", "b", "c", "d"]
    assert reasons() == {}


def test_what_a_backend_rejects_of_a_request_is_counted_and_not_sent_again(
    rig: Callable[[Answer], Rig],
) -> None:
    made = rig(lambda _: Delivered(2, "too old"))
    made.write(*"abc")
    made.work()
    made.work(1)
    assert made.backend.asked == 1
    assert reasons() == {"rejected": 2}


def test_records_of_this_process_go_before_those_of_dead_ones(
    rig: Callable[[Answer], Rig], tmp_path: Path
) -> None:
    dead = home_in(tmp_path)
    journal = journal_in(dead)
    journal.append(0, record("of the dead"))
    dead.leave()
    made = rig(take_all)
    made.sender.look = Adoption(
        tmp_path, made.home, {"traces": made.sender.backlog}, lambda _: None
    ).look
    made.write("own")
    made.work()
    assert made.backend.taken == ["own", "of the dead"]


def test_the_last_request_keeps_to_the_end_of_the_process(rig: Callable[[Answer], Rig]) -> None:
    made = rig(take_all)
    made.write("a")
    made.sender.stop(made.now + 2)
    assert made.sender.join(made.now + 2) is True
    assert made.backend.timeouts == [pytest.approx(2)]
    assert made.backend.taken == ["a"]


def test_at_the_end_it_is_tried_once_more_whatever_came_before(
    rig: Callable[[Answer], Rig],
) -> None:
    made = rig(lambda _: Denied("401"))
    made.write("a")
    made.work()
    made.sender.stop(made.now + 2)
    assert made.sender.join(made.now + 2) is False
    assert made.backend.asked == 2


def test_while_a_batch_is_sent_the_limits_spare_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What comes meanwhile is dropped in its place, and counted; nothing is sent and dropped."""
    made = Rig(tmp_path, take_all)
    monkeypatch.setattr(time, "monotonic", lambda: made.now)
    made.journal.most_bytes = 2 << 20
    written: list[str] = []

    def answer(_: list[str]) -> Outcome:
        for __ in range(6):
            if len(written) < 40:
                written.append(f"{len(written)}-" + "x" * 400_000)
                made.write(written[-1])
        return Delivered()

    made.backend.answer = answer
    made.write("first")
    made.work()
    while made.journal.waiting:
        made.work(1)
    taken = made.backend.taken
    assert taken[0] == "first"
    assert len(set(taken)) == len(taken)
    assert len(taken) - 1 + reasons()["full"] == len(written)
