"""What goes with a request to whom, and what is taken from one that comes back.

Each request carries the trace on. Whose run and node it serves goes as baggage (W3C Baggage) to
peers inside the deployment, which pass it on to what they call of Dify, and to nobody else: neither
that nor what Dify's own caller has sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context

from otel_dify import table as t
from otel_dify.cleaning.text import clean
from otel_dify.operations.operation import Operation
from otel_dify.sources.dify import apps

_HEADER = "baggage"
_NAMES = frozenset(attribute.key for attribute in t.CARRIED)
_ID = re.compile(r"[\w.:-]{1,128}")
"""What an id looks like: what somebody else might send goes into spans and logs."""


def send_on(operation: Operation, headers: MutableMapping[str, str], *, inside: bool) -> None:
    """Have a request carry on the trace of its operation, and inside what it serves.

    Args:
        operation: the call.
        headers: those of the request, which other tools may have added to already.
        inside: whether it stays inside the deployment.
    """
    # Of other tools, such as Sentry's; ours may be there of a request that was redirected.
    before = headers.get(_HEADER)
    theirs = "" if before is None else _without_ours(before)
    context = _with(operation) if inside else _without(operation.context)
    propagate.inject(headers, context)
    if before is None:
        return
    injected = headers.get(_HEADER, "")
    ours = injected if injected != before else ""
    if merged := ",".join(part for part in (theirs, ours) if part):
        headers[_HEADER] = merged
    else:
        del headers[_HEADER]


def _with(operation: Operation) -> Context:
    context, known = operation.context, operation.inherited
    members = tuple((one.key, str(known[one.key])) for one in t.CARRIED if one.key in known)
    if not baggage.get_all(context):
        # A node calls again and again, and each member set is two copies.
        return trace.set_span_in_context(trace.get_current_span(context), _carrying(members))
    return _set(members, context)


@lru_cache(maxsize=256)
def _carrying(members: tuple[tuple[str, str], ...]) -> Context:
    return _set(members, Context())


def _set(members: tuple[tuple[str, str], ...], context: Context) -> Context:
    for key, value in members:
        context = baggage.set_baggage(key, value, context)
    return context


def _without(context: Context) -> Context:
    return baggage.clear(context) if baggage.get_all(context) else context


def _without_ours(header: str) -> str:
    """Return the members of a header that are not ours."""
    members = (member.strip() for member in header.split(","))
    return ",".join(
        member for member in members if member.partition("=")[0].strip() not in _NAMES and member
    )


def take_over(operation: Operation) -> None:
    """Take over whose run and node a request serves that a plugin has sent back to Dify."""
    given: Mapping[str, object] = baggage.get_all(operation.parent_context)
    for attribute in t.CARRIED:
        value = given.get(attribute.key)
        if isinstance(value, str) and _ID.fullmatch(value):
            operation.set(attribute, clean(value))
    known = apps.app_of(operation.get(t.APP_ID))
    operation.set(t.APP_NAME, known.name)
    operation.set(t.APP_MODE, known.mode)
