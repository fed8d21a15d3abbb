"""Journals against a model: whatever is done in whatever order, no record is lost unsaid."""

from __future__ import annotations

import math
import tempfile
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from otel_dify.export.adoption import Adoption
from otel_dify.export.delivery import lost
from otel_dify.export.journal.backlog import Backlog
from otel_dify.export.journal.batch import Batch
from otel_dify.export.journal.journal import TAKEN
from otel_dify.export.journal.segment import SIZE
from tests.unit.journal.journals import SCOPES, home_in, journal_in, names, reasons, record

MOST_BYTES = 4 * SIZE
AGE_S = 3_600.0
sizes = st.sampled_from([10, 10, 150_000, 400_000, SIZE + 100])


class Journals(RuleBasedStateMachine):
    """One process after the other with a journal in the same folder; each may be killed."""

    def __init__(self) -> None:
        super().__init__()
        lost().clear()
        self.now = 1e9
        self.folder = tempfile.TemporaryDirectory()
        self.clock = SimpleNamespace(
            monotonic=lambda: self.now, time_ns=lambda: int(self.now * 1e9), time=time.time
        )
        self.patches = [
            mock.patch(f"otel_dify.export.journal.{module}.time", self.clock)
            for module in ("journal", "segment", "backlog")
        ]
        for patch in self.patches:
            patch.start()
        self.number = 0
        self.said = 0
        self.arrived: list[str] = []
        self.own: deque[str] = deque()
        self.left: deque[str] = deque()
        self.begun: dict[str, float] = {}
        self.held: Batch | None = None
        self.backlog = Backlog("traces", 4)

    @initialize()
    def begin(self) -> None:
        """Begin a process."""
        self.home = home_in(Path(self.folder.name))
        self.journal = journal_in(self.home, MOST_BYTES)

    def dropped(self) -> int:
        """Return how many records were said to be lost since this was asked last."""
        total = sum(reasons().values())
        new, self.said = total - self.said, total
        return new

    @property
    def guarded(self) -> int:
        """Records that are not dropped, in the segment of the batch that is being sent."""
        return 0 if self.held is None else self.held.segment.waiting

    @rule(scope=st.integers(0, len(SCOPES) - 1), size=sizes)
    def append(self, scope: int, size: int) -> None:
        """Write a record; beyond the limit the oldest go, but for those that are being sent."""
        self.number += 1
        name = f"{self.number:06d}"
        self.journal.append(scope, record(name + "x" * size))
        self.begun[name] = self.now
        self.own.append(name)
        kept = [self.own.popleft() for _ in range(self.guarded)]
        for _ in range(self.dropped()):
            self.own.popleft()
        self.own.extendleft(reversed(kept))

    @rule(number=st.integers(1, 6), size=sizes)
    def append_several(self, number: int, size: int) -> None:
        """Write some of the same scope."""
        for _ in range(number):
            self.append(0, size)

    def take(self) -> Batch | None:
        """Take a batch of this process: the oldest records."""
        batch = self.journal.take()
        found = [name[:6] for name in names(batch)]
        assert sorted(found) == list(self.own)[: len(found)]
        assert bool(found) == bool(self.own)
        return batch

    def acknowledge(self, batch: Batch) -> None:
        """Acknowledge a batch."""
        self.journal.acknowledge(batch)
        self.arrived += [self.own.popleft() for _ in range(len(batch))]

    @precondition(lambda self: self.held is None)
    @rule(arrives=st.booleans())
    def send(self, arrives: bool) -> None:
        """Send a batch, which arrives or does not."""
        batch = self.take()
        if batch is not None and arrives:
            self.acknowledge(batch)
        self.journal.release()

    @precondition(lambda self: self.held is None)
    @rule()
    def send_a_half(self) -> None:
        """Send a batch of which only the first half arrives."""
        batch = self.take()
        if batch is not None and len(batch) > 1:
            self.acknowledge(batch.halves()[0])
        self.journal.release()

    @precondition(lambda self: self.held is None)
    @rule()
    def begin_to_send(self) -> None:
        """Take a batch, while other things happen."""
        self.held = self.take()

    @precondition(lambda self: self.held is not None)
    @rule(arrives=st.booleans())
    def have_sent(self, arrives: bool) -> None:
        """Hear what has come of that batch."""
        assert self.held is not None
        if arrives:
            self.acknowledge(self.held)
        self.journal.release()
        self.held = None

    @rule(hours=st.sampled_from([0.01, 0.2, 0.9, 1.0, 1.2, 3]))
    def wait(self, hours: float) -> None:
        """Let time pass, in which whoever sends looks again and again."""
        steps = math.ceil(hours * 3_600 / (AGE_S * TAKEN / 2))
        for _ in range(steps):
            self.now += hours * 3_600 / steps
            self.expire()

    @rule()
    def expire(self) -> None:
        """Drop what is too old, and nothing that is not."""
        self.journal.expire(AGE_S)
        kept = [self.own.popleft() for _ in range(self.guarded)]
        for _ in range(self.dropped()):
            assert self.begun[self.own.popleft()] + AGE_S <= self.now
        self.own.extendleft(reversed(kept))
        self.backlog.hold_to(10 * MOST_BYTES, AGE_S)
        for _ in range(self.dropped()):
            assert self.begun[self.left.popleft()] + AGE_S <= self.now

    @precondition(lambda self: self.held is None)
    @rule()
    def die(self) -> None:
        """Be killed; the next process adopts what this one had, adopted records included."""
        self.home.leave()
        # Of two that began at once nobody knows which was first.
        self.now += 0.001
        self.home = home_in(Path(self.folder.name))
        self.journal = journal_in(self.home, MOST_BYTES)
        self.backlog = Backlog("traces", 4)
        look = Adoption(
            Path(self.folder.name), self.home, {"traces": self.backlog}, lambda _: None
        ).look
        look()
        self.left = deque(sorted((*self.left, *self.own)))
        self.own.clear()

    @rule(arrives=st.booleans())
    def send_of_the_dead(self, arrives: bool) -> None:
        """Send a batch of what was adopted."""
        batch = self.backlog.take()
        found = sorted(name[:6] for name in names(batch))
        assert found == list(self.left)[: len(found)]
        assert bool(found) == bool(self.left)
        if batch is not None and arrives:
            self.backlog.acknowledge(batch)
            self.arrived += [self.left.popleft() for _ in range(len(batch))]

    @rule(most=st.integers(0, 3))
    def hold_the_dead_to_a_limit(self, most: int) -> None:
        """Drop the oldest of what was adopted."""
        self.backlog.hold_to(most * SIZE, 1e9)
        for _ in range(self.dropped()):
            self.left.popleft()
        assert self.backlog.bytes <= most * SIZE

    @invariant()
    def none_arrives_twice(self) -> None:
        """What was acknowledged never comes again."""
        assert len(set(self.arrived)) == len(self.arrived)

    @invariant()
    def limits_hold(self) -> None:
        """The journal keeps to its limit, but for what is being sent and being written."""
        if hasattr(self, "journal"):
            assert self.journal.bytes <= MOST_BYTES + 2 * (SIZE + 4_096)
            assert self.journal.waiting == len(self.own)

    def teardown(self) -> None:
        """Send what is left: every record has arrived, or is said to be lost."""
        self.journal.release()
        while self.own:
            self.send(arrives=True)
        while self.left:
            self.send_of_the_dead(arrives=True)
        assert self.number == len(self.arrived) + self.said
        for patch in self.patches:
            patch.stop()
        self.folder.cleanup()


TestJournals = Journals.TestCase
TestJournals.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
