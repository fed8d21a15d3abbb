"""What came of sending one request, and what a transport is.

OTLP's specification tells errors that are worth another try from those that are not
(opentelemetry-proto, docs/specification.md, "Failures" of OTLP/gRPC and of OTLP/HTTP). A third
sort is added here: an access that is denied says nothing about the data, which is worth keeping
until the operator has put it right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Delivered:
    """The request was taken, if not all that is in it.

    Attributes:
        rejected: spans, log records or data points that the receiver did not take ("partial
            success"); they must not be sent again.
        message: what the receiver said about it, in its own words.
    """

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """The request was not taken, or nobody knows; the same may be sent again later.

    Attributes:
        reason: why, in words for the operator, without a full stop.
        after_s: seconds that the receiver asks to wait at least, at most ``LONGEST_WAIT_S``.
    """

    reason: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver does not take this request, now or later; a part of it may do.

    Attributes:
        reason: why, in words for the operator, without a full stop.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Denied:
    """The receiver takes nothing from us as we are set up: credentials, or where we send to.

    Attributes:
        reason: why, in words for the operator, without a full stop.
    """

    reason: str


type Outcome = Delivered | Retry | Refused | Denied


LONGEST_WAIT_S = 300.0
"""Seconds that a receiver can make us wait; a day in ``Retry-After`` would be a lost day."""


class Transport(Protocol):
    """Sends requests to one destination, one at a time."""

    def send(self, body: bytes, timeout_s: float) -> Outcome:
        """Send a request, at least once where it returns ``Delivered``; never raises.

        Args:
            body: a serialized ``Export{Trace,Logs,Metrics}ServiceRequest``.
            timeout_s: seconds that it may take altogether.
        """

    def close(self) -> None:
        """Let go of the connection; the next ``send`` makes a new one."""
