"""Spans into kinds: which row of the table one was made from.

No span says so. But its name is what the row's pattern gives with its own attributes, and its span
kind is the row's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from otel_dify import table as t
from otel_dify.records.plan import PLANS

if TYPE_CHECKING:
    from otel_dify.cli.records import Span
    from otel_dify.records.plan import Plan

PLUGIN_DAEMON = "plugin-daemon"
"""In the name of the service whose spans are not Dify's, though they look alike."""
_FIELD = re.compile(r"\\\{[^}]+\\\}")
_SHAPES = [
    (
        plan,
        re.compile(_FIELD.sub(".*", re.escape(kind.span_name)).replace(r"\ ", r"\s*"), re.DOTALL),
    )
    for kind, plan in PLANS.items()
]


def kind_of(span: Span) -> t.Kind | None:
    """Tell the kind of a span; none where it is not one of ours.

    A draft node looks like any node, and is told as one.
    """
    if PLUGIN_DAEMON in span.process.service:
        return None
    for plan in _candidates(span.kind, span.name):
        filled = plan.span_name.fill(span.attributes)  # type: ignore[arg-type] # read by str alone
        if span.name == (filled.strip() or plan.kind.name):
            return plan.kind
    return None


@lru_cache(maxsize=4096)
def _candidates(number: int, name: str) -> list[Plan]:
    """Return the plans whose span kind and pattern a span may have.

    Args:
        number: OTLP's number of its span kind, which counts from 1 where the API does from 0; 0
            where it is not known.
        name: its name.
    """
    return [
        plan
        for plan, shape in _SHAPES
        if number in {plan.kind.span_kind.value + 1, 0}
        and (name == plan.kind.name or shape.fullmatch(name))
    ]
