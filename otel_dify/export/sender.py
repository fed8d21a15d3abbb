"""The sender: takes batches out of the journal, sends them, and lets go of what has arrived.

Nothing is given up because it could not be sent: it stays in the journal, within its limits, and is
tried again ever more slowly. What a backend refuses is split until the one record that it refuses
is alone. Journals of dead processes are adopted and sent behind the own one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from opentelemetry.instrumentation.utils import suppress_instrumentation

from otel_dify.export.journal.backlog import Backlog
from otel_dify.export.journal.journal import Journal
from otel_dify.export.sending.outcome import Delivered, Denied, Refused, Retry
from otel_dify.export.ticking import Ticking

if TYPE_CHECKING:
    from otel_dify.export.journal.batch import Batch
    from otel_dify.export.requests import Requests

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
"""Seconds until the first of several attempts in a row, and until the last ones; each is twice as
far as the one before, and up to a half less by chance, so that processes do not come together."""
DENIED_S = 60.0
"""Seconds until the next attempt where a token or an address is wrong: a person has to act."""
LOOK_S = 15.0
"""Seconds between two looks for journals of dead processes and for records that are too old."""
REFUSED_IN_A_ROW = 16
"""Records refused one after the other from which on the backend, and not a record, is the cause."""


class Source(Protocol):
    """What batches come out of."""

    def take(self) -> Batch | None:
        """Read the oldest records that wait; they stay until they are acknowledged."""

    def acknowledge(self, batch: Batch) -> None:
        """Let go of a batch."""

    def release(self) -> None:
        """Say that what was taken is not being sent now."""


class Sender:
    """Sends what is in the journals of one signal.

    Attributes:
        journal: this process's.
        backlog: what dead processes have left.
        look: looks for more of that.
        arrived: records that have arrived.

    Args:
        journal: this process's.
        requests: sends a batch.
        delay_s: seconds that records wait to be sent together.
        oldest_s: seconds after which records are dropped.
        chance: where the jitter comes from.
    """

    def __init__(
        self,
        journal: Journal,
        requests: Requests,
        *,
        delay_s: float,
        oldest_s: float,
        chance: random.Random,
    ) -> None:
        self.look: Callable[[], None] | None = None
        self.journal = journal
        self.backlog = Backlog(journal.signal, journal.size)
        self.arrived = 0
        journal.full = self.wake
        self._requests = requests
        self._oldest_s = oldest_s
        self._chance = chance
        self._ticking = Ticking(f"otel_dify-{journal.signal}", delay_s, self._work)
        self._sending = threading.Lock()
        self._retry_s = 0.0
        self._not_before = 0.0
        self._next_look = 0.0
        self._refused = 0
        self._taken_s = 0.0
        self._deadline: float | None = None

    def start(self) -> None:
        """Begin, with the first record; asked again it does nothing."""
        self._ticking.start()

    def wake(self) -> None:
        """Send at once: a full batch waits."""
        self._ticking.wake()

    def _work(self) -> None:
        now, last = time.monotonic(), self._deadline is not None
        if now < self._not_before and not last:
            return
        with self._sending:
            # A process that ends at once looks too: it may be the only one there will be.
            if now >= self._next_look and not (last and self._next_look):
                self._next_look = now + LOOK_S
                self._look()
            self._send_all()

    def _look(self) -> None:
        """Look for what dead processes have left, and drop what is beyond the limits."""
        if self.look is not None:
            self.look()
        self.journal.expire(self._oldest_s)
        self.backlog.hold_to(self.journal.most_bytes - self.journal.bytes, self._oldest_s)

    def _send_all(self) -> bool:
        """Send what waits now, this process's records before others'; tell whether all has gone."""
        while self._send_own():
            batch = self.backlog.take()
            if batch is None:
                return True
            if not self._send(self.backlog, batch):
                break
        return False

    def _send_own(self) -> bool:
        """Send what waits of this process; tell whether all of it has gone."""
        while (batch := self.journal.take()) is not None:
            if not self._send(self.journal, batch):
                return False
        return True

    def _send(self, source: Source, batch: Batch) -> bool:
        """Send a batch; tell whether to go on."""
        try:
            return self._deliver(source, batch)
        finally:
            source.release()

    def _deliver(self, source: Source, batch: Batch) -> bool:
        outcome = self._requests.send(
            batch.body(), len(batch), self._deadline, lambda: source.acknowledge(batch)
        )
        match outcome:
            case None:
                return False
            case Delivered(rejected):
                self._retry_s = self._refused = 0
                self._taken_s = time.monotonic()
                self.arrived += len(batch) - rejected
                return True
            case Refused(reason) if self._refused < REFUSED_IN_A_ROW:
                if len(batch) > 1:
                    return all(self._deliver(source, half) for half in batch.halves())
                self._refused += 1
                self._requests.refused(reason)
                source.acknowledge(batch)
                return True
            case Retry(reason, after_s):
                self._wait(after_s)
            case Refused(reason) | Denied(reason):
                self._not_before = time.monotonic() + DENIED_S
        self._requests.failed(outcome.reason)
        return False

    def _wait(self, asked_s: float | None) -> None:
        self._retry_s = min(self._retry_s * 2 or FIRST_RETRY_S, LAST_RETRY_S)
        jittered = self._retry_s * self._chance.uniform(0.5, 1.0)
        self._not_before = time.monotonic() + max(asked_s or 0.0, jittered)

    def flush(self, timeout_ms: int) -> None:
        """Send what waits, once and now."""
        if self._sending.acquire(timeout=timeout_ms / 1000):
            self._deadline = time.monotonic() + timeout_ms / 1000
            try:
                with suppress_instrumentation():
                    self._send_all()
            finally:
                self._deadline = None
                self._sending.release()

    def drain(self, patience_s: float) -> bool:
        """Send what waits, as long as that gets on; tell whether all has gone.

        Args:
            patience_s: seconds to go on in which nothing is taken.
        """
        with self._sending, suppress_instrumentation():
            self._taken_s = time.monotonic()
            while not self._send_all():
                if self._not_before > self._taken_s + patience_s:
                    return False
                time.sleep(max(self._not_before - time.monotonic(), 0.0))
        return True

    def stop(self, deadline: float) -> None:
        """Have what waits sent a last time.

        Args:
            deadline: until when, by ``time.monotonic``.
        """
        self._deadline = deadline
        self._ticking.stop()

    def join(self, deadline: float) -> bool | None:
        """Wait until that is done; tell whether nothing in files waits, none where it still sends.

        Args:
            deadline: until when, by ``time.monotonic``.
        """
        if not self._ticking.join(deadline):
            return None
        self._requests.close()
        return self.journal.close() and not self.backlog
