"""Requests: sending the bodies of one signal, and telling how each of them went.

The operator hears of a destination that does not take them (``delivery.py``), metrics count every
one (``progress.py``), and what is lost is counted by its reason.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from otel_dify.export.delivery import Delivery, lose
from otel_dify.export.progress import Counts, Progress
from otel_dify.export.sending.destination import destination
from otel_dify.export.sending.outcome import Delivered, Outcome, Transport
from otel_dify.settings import Settings


class Requests:
    """Sends requests of one signal to one destination.

    Args:
        signal: ``traces``, ``metrics`` or ``logs``.
        transport: sends the body of a request.
        delivery: tells the operator how it goes.
        progress: counts how it goes.
        timeout_s: seconds that one request may take.
    """

    def __init__(
        self,
        signal: str,
        transport: Transport,
        *,
        delivery: Delivery,
        progress: Progress,
        timeout_s: float,
    ) -> None:
        self._signal = signal
        self._transport = transport
        self._delivery = delivery
        self._progress = progress
        self._timeout_s = timeout_s

    @classmethod
    def of(
        cls, settings: Settings, signal: str, kept: str, counts: Counts, most_s: float = math.inf
    ) -> Requests:
        """Make what sends a signal to where the standard variables say.

        Args:
            settings: whose environment says so.
            signal: ``traces``, ``metrics`` or ``logs``.
            kept: what happens meanwhile to what is not delivered, as a sentence.
            counts: counts how it goes.
            most_s: seconds that one request may take at the most, whatever the variables say.
        """
        to = destination(settings, signal)
        return cls(
            signal,
            to.transport(),
            delivery=Delivery(signal, to.where, kept),
            progress=Progress(counts, signal, to.protocol),
            timeout_s=min(to.timeout_s, most_s),
        )

    def send(
        self,
        body: bytes,
        records: int,
        deadline: float | None,
        arrived: Callable[[], None] | None = None,
    ) -> Outcome | None:
        """Send a request.

        Args:
            body: its body.
            records: how many records it has.
            deadline: until when, by ``time.monotonic``; none for as long as one may take.
            arrived: called before all else where it was taken: a process that is killed before
                sends it again.

        Returns:
            What came of it; none where the deadline has passed.
        """
        began, timeout_s = time.monotonic(), self._timeout_s
        if deadline is not None:
            timeout_s = min(timeout_s, deadline - began)
            if timeout_s <= 0:
                return None
        outcome = self._transport.send(body, timeout_s)
        if not isinstance(outcome, Delivered):
            sort = type(outcome).__name__.lower()
            self._progress.sent(time.monotonic() - began, records, len(body), sort)
            return outcome
        if arrived is not None:
            arrived()
        self._progress.sent(time.monotonic() - began, records, len(body))
        if outcome.rejected:
            lose(self._signal, outcome.rejected, "rejected")
            self._delivery.rejected(outcome.rejected, outcome.message)
        self._delivery.works()
        return outcome

    def refused(self, reason: str) -> None:
        """Take note of a record that is refused and left out."""
        lose(self._signal, 1, "refused")
        self._delivery.refused(reason)

    def failed(self, reason: str) -> None:
        """Take note of a request that was not taken."""
        self._delivery.fails(reason)

    def close(self) -> None:
        """Let go of the connection."""
        self._transport.close()
