"""What operations are observed below, held against what the table says (``below``).

A pair is the name of a kind and that of the nearest operation around it. Recordings give the pairs
of a process; spans give those of whole traces, from memory, OTLP files or a receiver. A query that
was folded has left its count on the span of the operation around it, which makes a pair as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otel_dify import table as t
from otel_dify.records.plan import PLANS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from otel_dify.operations.operation import Operation

type Pair = tuple[str, str]

ROOT = "nothing"
"""What an operation lies below that no other one surrounds, which any may do."""
DECLARED = frozenset((kind.name, above) for kind in t.KINDS for above in kind.below)
SHOWN = frozenset(
    {
        *(("request", ROOT), ("send", "request"), ("task", "send"), ("task", ROOT)),
        *(("run", "request"), ("run", "task"), ("node", "run"), ("item", "node")),
        *(("pass", "node"), ("node", "item"), ("node", "pass"), ("model call", "node")),
        *(("tool call", "node"), ("model call", "tool call"), ("http call", "node")),
        *(("http call", "model call"), ("query", "request"), ("query", "task")),
    }
)
"""What the examples show (``tests/examples``), so that a real Dify need not."""

_SCOPE = "otel_dify"
_NAMES = {kind.name for kind in t.KINDS}
_OF_SPAN_KIND = {
    name: [kind for kind in t.KINDS if kind.span_kind.name == name]
    for name in {kind.span_kind.name for kind in t.KINDS}
}
# Kinds of spans by their numbers in OTLP.
_OTLP = ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


@dataclass(frozen=True, slots=True)
class Span:
    """What is read of a span, wherever it comes from.

    Attributes:
        identity: its id.
        parent: id of its parent, empty for a root.
        name: its name.
        kind: its kind: ``INTERNAL``, ``SERVER`` and so on.
        scope: name of its instrumentation scope.
        attributes: its attributes.
    """

    identity: str
    parent: str
    name: str
    kind: str
    scope: str
    attributes: Mapping[str, Any]


def kind_of(span: Span) -> str:
    """Tell what kind of operation a span of ours stands for.

    Its name is what the kind's pattern makes of its attributes. Where that is so of several kinds
    (a node has any title, and ``observe`` takes any name), it has more of the attributes of its
    own; a node that is tried out differs from others only in what these inherit from their run.

    Returns:
        The kind's name; for a span of no kind what the span is called, which is in no table.
    """
    known = span.attributes
    fitting = [
        kind
        for kind in _OF_SPAN_KIND.get(span.kind, ())
        if span.name in _names_of(kind, known)
        and (kind is not t.DRAFT_NODE or t.OPERATION_TYPE.key not in known)
        and (kind is not t.NODE or t.OPERATION_TYPE.key in known)
    ]
    if not fitting:
        return f"{span.kind} span '{span.name}'"
    return max(fitting, key=lambda kind: sum(one.key in known for one in kind.attributes)).name


def _names_of(kind: t.Kind, known: Mapping[str, Any]) -> Iterator[str]:
    """List what a span of a kind may be called that has these attributes."""
    yield PLANS[kind].span_name.fill(known).strip() or kind.name
    if kind is t.HTTP_CALL:
        # A known peer, and a path of it that is not.
        yield f"{known.get(t.HTTP_METHOD.key)} {known.get(t.PEER.key)}"


def pairs(spans: Iterable[Span]) -> Counter[Pair]:
    """Count the pairs in whole traces; spans of others are left out, not what is above them."""
    by_id = {span.identity: span for span in spans}
    found: Counter[Pair] = Counter()
    for span in by_id.values():
        if span.scope != _SCOPE:
            continue
        above = by_id.get(span.parent)
        while above is not None and above.scope != _SCOPE:
            above = by_id.get(above.parent)
        kind = kind_of(span)
        found[kind, ROOT if above is None else kind_of(above)] += 1
        queries = span.attributes.get(t.DB_QUERIES.key)
        if queries:
            found[t.QUERY.name, kind] += int(queries)
    return found


def pairs_of(operation: Operation) -> Iterator[Pair]:
    """List the pairs that an operation that has ended makes, in its process."""
    above = operation.parent
    yield operation.kind.name, ROOT if above is None else above.kind.name
    if operation.folded is not None:
        yield t.QUERY.name, operation.kind.name


def unknown(seen: Iterable[Pair]) -> list[str]:
    """Say which pairs the table does not have."""
    return [
        f"{kind} below {above}"
        for kind, above in sorted(set(seen) - DECLARED)
        if above != ROOT or kind not in _NAMES
    ]


def unseen(seen: Iterable[Pair]) -> list[str]:
    """Say which pairs of the table are neither among those seen nor shown by the examples."""
    return [f"{kind} below {above}" for kind, above in sorted(DECLARED - SHOWN - set(seen))]


def in_memory(spans: Iterable[ReadableSpan]) -> Iterator[Span]:
    """Read spans of this process."""
    for span in spans:
        scope = span.instrumentation_scope
        yield Span(
            f"{span.context.span_id:016x}",
            "" if span.parent is None else f"{span.parent.span_id:016x}",
            span.name,
            span.kind.name,
            "" if scope is None else scope.name,
            dict(span.attributes or {}),
        )


def in_files(folder: Path) -> Iterator[Span]:
    """Read spans that processes have written into a folder (``otlp_file``)."""
    for path in sorted(folder.glob("traces-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            for of_resource in json.loads(line)["resourceSpans"]:
                for scope in of_resource["scopeSpans"]:
                    name = scope.get("scope", {}).get("name", "")
                    for span in scope["spans"]:
                        yield _of_json(span, name)


def _of_json(span: Mapping[str, Any], scope: str) -> Span:
    return Span(
        span["spanId"],
        span.get("parentSpanId", ""),
        span["name"],
        _OTLP[span.get("kind", 0)],
        scope,
        # Each value is an object with one field, named for its type.
        {pair["key"]: next(iter(pair["value"].values())) for pair in span.get("attributes", ())},
    )
