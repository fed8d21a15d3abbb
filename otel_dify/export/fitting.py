"""Records that are too large for any request: their texts are cut short before they are sent.

A text is cut long before, but a record may have more than a hundred of them: attributes that
somebody sets, the fields of a log record, the events of a span. A backend would refuse the whole
request, and the record be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event

from otel_dify.cleaning.redaction import cut

if TYPE_CHECKING:
    from otel_dify.export.outlets import LogData, SpanData

LARGEST = 1 << 21
"""Bytes of one record. A gRPC server takes messages of 4 MiB unless it was told otherwise
(``grpc-go``'s ``MaxRecvMsgSize``), and a request has the resource and the scope besides."""
_CHARACTERS, _MOST = 512, 128
"""Characters of a text that is cut short, and how many attributes, events and links are kept."""
_ALL = LARGEST // 8
"""Characters of all texts of a record; one takes four bytes at most."""


def shorter_span(span: SpanData) -> SpanData:
    """Return a span whose texts are short, with the first of its events and links."""
    room = _Room()
    return span._replace(
        name=room.text(span.name),
        description=None if span.description is None else room.text(span.description),
        attributes=room.attributes(span.attributes),
        events=tuple(
            Event(room.text(event.name), room.attributes(event.attributes), event.timestamp)
            for event in span.events[:_MOST]
        ),
        links=span.links[:_MOST],
    )


def shorter_log(log: LogData) -> LogData:
    """Return a log record whose texts are short."""
    room = _Room()
    return log._replace(body=room.text(log.body), attributes=room.attributes(log.attributes))


class _Room:
    """What the texts of one record may still have."""

    def __init__(self) -> None:
        self._left = _ALL

    def text(self, text: str) -> str:
        """Cut a text."""
        short = cut(text, max(min(_CHARACTERS, self._left), 0))
        self._left -= len(short)
        return short

    def attributes(self, given: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the first of some attributes, their texts cut; lists become texts."""
        return {
            self.text(key): value
            if isinstance(value, bool | int | float)
            else self.text(str(value))
            for key, value in list((given or {}).items())[:_MOST]
            if self._left > 0
        }
