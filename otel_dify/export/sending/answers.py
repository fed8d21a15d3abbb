"""What a receiver's answer means: status, ``Retry-After``, and the messages in the body.

The status decides. A body adds details, so one that is garbage or cut off changes nothing: what
was answered with 200 is delivered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from google.protobuf.message import DecodeError

from otel_dify.export.sending.outcome import (
    LONGEST_WAIT_S,
    Delivered,
    Denied,
    Outcome,
    Refused,
    Retry,
)

# OTLP's specification, "Retryable Response Codes". 408 is HTTP's own (RFC 9110, 15.5.9): a proxy
# sends it for a request that it has not passed on.
_RETRIED = frozenset({408, 429, 502, 503, 504})
_DENIED = frozenset({401, 403, 407})
# The address is wrong, or the receiver has no such signal: a Collector without its pipeline answers
# 404. Nothing is known about the data.
_ELSEWHERE = frozenset({404, 405, 501})
_SUCCESS, _REDIRECTION, _ERROR = 200, 300, 400

_MESSAGE_LENGTH = 300
"""Characters that are kept of a message of the receiver's."""

_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: its code.
        content_type: the header of this name, lower-cased, or nothing.
        retry_after: the header of this name, or nothing.
        location: the header of this name, or nothing.
        body: as much of it as was read; cut off where it is too large or was not finished.
    """

    status: int
    content_type: str = ""
    retry_after: str = ""
    location: str = ""
    body: bytes = b""


def outcome_of(answer: Answer, now: float) -> Outcome:
    """Tell what an HTTP response means.

    Args:
        answer: the response.
        now: seconds since the epoch, for a ``Retry-After`` that is a date.
    """
    status = answer.status
    if _SUCCESS <= status < _REDIRECTION:
        return partial_success(answer.body)
    reason = _reason(answer)
    if status in _RETRIED:
        return Retry(reason, retry_after(answer.retry_after, now))
    if status in _DENIED:
        return Denied(f"{reason}; check the credentials, such as OTEL_EXPORTER_OTLP_HEADERS")
    if status in _ELSEWHERE:
        return Denied(f"{reason}; check the address, and that the Collector takes this signal")
    if _REDIRECTION <= status < _ERROR:
        # Nothing is known about the data: it was not looked at.
        where = f" to {answer.location}" if answer.location else ""
        return Denied(f"{reason}: it redirects{where}; set the endpoint to where it really is")
    return Refused(reason)


def partial_success(body: bytes) -> Delivered:
    """Read what a receiver that has taken a request says about parts of it.

    Responses of the three signals are the same on the wire: ``partial_success`` is field 1, in it
    ``rejected_spans``, ``rejected_log_records`` or ``rejected_data_points`` field 1 and
    ``error_message`` field 2 (opentelemetry/proto/collector/*/v1/*_service.proto).
    """
    if not body:
        return Delivered()
    # Most answers are empty: what reads the others is loaded with the first of them.
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        told = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Delivered()
    return Delivered(max(told.rejected_spans, 0), one_line(told.error_message))


def retry_after(value: str, now: float) -> float | None:
    """Read the header ``Retry-After`` (RFC 9110, 10.2.3): seconds, or a date.

    Args:
        value: the header.
        now: seconds since the epoch.

    Returns:
        Seconds to wait, between 0 and ``LONGEST_WAIT_S``; none where it says nothing.
    """
    value = value.strip()
    if value.isascii() and value.isdecimal():
        # As many digits as anybody likes; int() refuses more than 4300.
        return min(float(value), LONGEST_WAIT_S)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max(until.timestamp() - now, 0.0), LONGEST_WAIT_S)


def one_line(text: str) -> str:
    """Make one short line of what somebody else wrote."""
    return _UNPRINTABLE.sub(" ", text).strip()[:_MESSAGE_LENGTH]


def _reason(answer: Answer) -> str:
    try:
        phrase = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = ""
    message = _message(answer)
    return f"HTTP {answer.status}{phrase}" + (f" ({message})" if message else "")


def _message(answer: Answer) -> str:
    """Read what the body says: a ``google.rpc.Status`` (OTLP/HTTP, "Failures"), or text."""
    if not answer.body or "html" in answer.content_type:
        return ""
    if "protobuf" not in answer.content_type:
        return one_line(answer.body.decode(errors="replace"))
    from google.rpc.status_pb2 import Status

    try:
        return one_line(Status.FromString(answer.body).message)
    except DecodeError:
        return ""
