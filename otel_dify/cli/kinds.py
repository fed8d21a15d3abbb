"""Spans into kinds: which row of the table one was made from.

No span says so. But its name is what the row's pattern gives with its own attributes, and its span
kind is the row's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.records.plan import PLANS

if TYPE_CHECKING:
    from otel_dify.cli.records import Span

# OTLP counts span kinds from 1, the API from 0.
_PLANS = [(kind.span_kind.value + 1, kind, plan.span_name) for kind, plan in PLANS.items()]
PLUGIN_DAEMON = "plugin-daemon"
"""In the name of the service whose spans are not Dify's, though they look alike."""


def kind_of(span: Span) -> t.Kind | None:
    """Tell the kind of a span; none where it is not one of ours.

    A draft node looks like any node, and is told as one.
    """
    if PLUGIN_DAEMON in span.process.service:
        return None
    for number, kind, pattern in _PLANS:
        if span.kind in {number, 0} and span.name == (
            pattern.fill(span.attributes).strip() or kind.name  # type: ignore[arg-type] # read by str alone
        ):
            return kind
    return None
