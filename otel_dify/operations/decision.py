"""The decision on a trace: whether its spans leave this process, and at what rate.

Which rate holds depends on the app, which nobody knows when a request begins. So a decision is open
until it is known, and what ends until then is held. It is settled at the latest when the trace goes
on in another process, which follows it (``th`` in the tracestate, or the flag of what is dropped),
or when the first operation of the trace in this process ends. Thus a trace is kept or dropped
whole, whatever is learned of it in one place alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from otel_dify.process import process
from otel_dify.sampling.probability import Sampled, decode, encode, read, written

ANNOUNCED = "otel_dify"
"""Our entry of a tracestate: the threshold that the Collector is to apply."""
HELD = 64
"""Spans that are held for one decision; then it is made with what is known."""
SAMPLED, NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


class Decision:
    """The decision on one trace, for all of its spans in this process.

    Attributes:
        settled: whether it has been made.
        flags: those of every span's context; as if it were kept while the decision is open.
        state: the tracestate of every span.

    Args:
        randomness: 56 bits of the trace's.
        state: the tracestate that came with the trace.
        drops: whether this process drops, or leaves that to the Collector.
    """

    __slots__ = ("_drops", "_given", "_held", "_randomness", "flags", "settled", "state")

    def __init__(self, randomness: int, state: TraceState | None, *, drops: bool) -> None:
        self._given = given = read(state)
        self._randomness = randomness if given.randomness is None else given.randomness
        self._drops = drops
        self._held: list[Callable[[], None]] = []
        self.flags = SAMPLED
        self.state = written(state, self._passing(self._passed))
        self.settled = False

    @property
    def _passed(self) -> int | None:
        """The threshold that the trace has passed elsewhere, unless it cannot have."""
        passed = self._given.threshold
        return None if passed is None or self._randomness < passed else passed

    def _passing(self, threshold: int | None) -> Sampled:
        """Return OpenTelemetry's entry with what has been passed, and the rest as it was given."""
        return Sampled(threshold, self._given.randomness, self._given.rest)

    @property
    def full(self) -> bool:
        """Whether as much is held as may be."""
        return len(self._held) >= HELD

    def follow(self, *, sampled: bool) -> bool:
        """Follow what was decided where the trace comes from.

        Args:
            sampled: the flag that came with the trace.

        Returns:
            Whether that says at which rate; where it does not, nothing is settled.
        """
        if not sampled:
            self._fix(NOT_SAMPLED, written(self.state, self._passing(None)))
            return True
        announced = None if self._drops else decode(self.state.get(ANNOUNCED) or "")
        threshold = self._passed if announced is None else announced
        if threshold is None:
            return False
        self.settle(threshold)
        return True

    def leave(self) -> None:
        """Keep the trace, at a rate that nobody knows."""
        self._fix(SAMPLED, self.state)

    def consider(self, possible: Sequence[int]) -> bool:
        """Settle it if it is clear what it comes to; tell whether it has been.

        Args:
            possible: thresholds that may hold.
        """
        lowest = min(possible)
        if lowest != max(possible) and not (self._drops and self._randomness < lowest):
            return False
        self.settle(lowest)
        return True

    def settle(self, threshold: int, *, again: bool = False) -> None:
        """Make the decision; where another thread has made it meanwhile, that one holds.

        Args:
            threshold: what is rejected: 0 (nothing) to ``NEVER``.
            again: whether one that was made does not hold, since nothing has come of it yet.
        """
        if self._drops:
            kept = self._randomness >= threshold
            state = written(self.state, self._passing(threshold if kept else None))
            self._fix(SAMPLED if kept else NOT_SAMPLED, state, again=again)
        else:
            state = written(self.state, self._passing(self._passed or 0))
            self._fix(SAMPLED, state.update(ANNOUNCED, encode(threshold)), again=again)

    def _fix(self, flags: TraceFlags, state: TraceState, *, again: bool = False) -> None:
        with process.counting:
            if self.settled and not again:
                return
            # In this order: who finds it settled finds the rest.
            self.flags, self.state = flags, state
            self.settled = True
            held, self._held = self._held, []
        for write in held:
            write()

    def hold(self, write: Callable[[], None]) -> None:
        """Have something written when it has been settled, which may be now."""
        with process.counting:
            if not self.settled:
                self._held.append(write)
                return
        write()

    def context(self, span: SpanContext) -> SpanContext:
        """Return the context of a span of the trace, with what has been decided by now."""
        if span.trace_state is self.state and span.trace_flags is self.flags:
            return span
        return SpanContext(span.trace_id, span.span_id, False, self.flags, self.state)
