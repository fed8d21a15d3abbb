"""Thresholds and randomness as OpenTelemetry's specification has them.

"TraceState: Probability Sampling" and "TraceState Handling" (specification/trace): a trace has 56
bits of randomness, R, which everybody knows: the last ones of its id, or ``rv`` in the ``ot`` entry
of its tracestate. Whoever samples has a rejection threshold, T, and keeps what has R >= T. A span
that was kept carries the highest T that it has passed as ``th``, so that it can be told how many
it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from math import frexp, ldexp

from opentelemetry.trace import TraceState

KEY = "ot"
"""OpenTelemetry's entry of a tracestate."""
DIGITS = 14
"""Hexadecimal digits of a threshold, and of the randomness."""
NEVER = 1 << 4 * DIGITS
"""The threshold that nothing passes; one more than there is randomness."""
PRECISION = 4
"""Digits of a threshold that mean something, as the specification recommends."""
_MOST_PRECISE = 12
_THRESHOLD = re.compile(rf"[0-9a-f]{{1,{DIGITS}}}")
_RANDOMNESS = re.compile(rf"[0-9a-f]{{{DIGITS}}}")


def threshold_of(probability: float, precision: int = PRECISION) -> int:
    """Return the threshold of a probability.

    Args:
        probability: part of the traces that are kept, 0 to 1.
        precision: hexadecimal digits of it that mean something, 1 to 12; below a probability of
            1/16 those behind the leading ``f``.
    """
    if probability <= 0:
        return NEVER
    exact = NEVER - round(ldexp(probability, 4 * DIGITS))
    _, exponent = frexp(probability)
    digits = max(1, min(_MOST_PRECISE, precision + exponent // -4))
    step = 1 << 4 * (DIGITS - digits)
    return min((exact + step // 2) // step * step, NEVER - step)


def probability_of(threshold: int) -> float:
    """Return the probability that a threshold stands for."""
    return (NEVER - threshold) / NEVER


def adjusted_count(threshold: int) -> float:
    """Return how many spans one that has passed a threshold stands for.

    Raises:
        ZeroDivisionError: nothing passes that threshold.
    """
    return NEVER / (NEVER - threshold)


def encode(threshold: int) -> str:
    """Return the value of ``th``: hexadecimal without the zeros behind.

    What is never kept has none; what stands for it is the highest threshold there is.
    """
    return f"{min(threshold, NEVER - 1):0{DIGITS}x}".rstrip("0") or "0"


def decode(text: str) -> int | None:
    """Return the threshold that a value of ``th`` says; none where it is not valid."""
    return int(text.ljust(DIGITS, "0"), 16) if _THRESHOLD.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class Sampled:
    """What OpenTelemetry's entry of a tracestate says.

    Attributes:
        threshold: the highest that was passed; none where nobody knows.
        randomness: that of the trace where it is not its id's.
        rest: members that are not about sampling, as they were.
    """

    threshold: int | None = None
    randomness: int | None = None
    rest: tuple[str, ...] = ()

    def header(self) -> str:
        """Return it as it stands in a tracestate; empty where it says nothing."""
        members = [] if self.threshold is None else [f"th:{encode(self.threshold)}"]
        if self.randomness is not None:
            members.append(f"rv:{self.randomness:0{DIGITS}x}")
        return ";".join((*members, *self.rest))


_NOTHING = Sampled()


def read(state: TraceState | None) -> Sampled:
    """Read OpenTelemetry's entry; a value that is not valid is as none."""
    text = state.get(KEY) if state else None
    return _read(text) if text else _NOTHING


@lru_cache(maxsize=256)
def _read(text: str) -> Sampled:
    threshold = randomness = None
    rest = []
    for member in text.split(";"):
        name, _, value = member.partition(":")
        if name == "th":
            threshold = decode(value)
        elif name == "rv":
            randomness = int(value, 16) if _RANDOMNESS.fullmatch(value) else None
        elif member:
            rest.append(member)
    return Sampled(threshold, randomness, tuple(rest))


def written(state: TraceState | None, sampled: Sampled) -> TraceState:
    """Return a tracestate with another entry of OpenTelemetry's, or without one."""
    if not state:
        return _alone(sampled)
    header = sampled.header()
    if header:
        return state.update(KEY, header)
    return state.delete(KEY) if KEY in state else state


@lru_cache(maxsize=256)
def _alone(sampled: Sampled) -> TraceState:
    """Return the tracestate of most traces, which many have in common."""
    header = sampled.header()
    return TraceState([(KEY, header)] if header else None)


def randomness_of(trace_id: int) -> int:
    """Return the randomness of a trace whose tracestate says none: the last 56 bits of its id."""
    return trace_id & (NEVER - 1)
