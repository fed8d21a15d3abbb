"""Documentation that comes from tables in the code.

``python -m otel_dify.docs`` writes ``docs/data-dictionary.md`` and the settings in ``README.md``;
with ``--check`` it writes nothing and fails where they are not up to date.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from otel_dify import table as t
from otel_dify.operations.folded import REPEATED
from otel_dify.settings import SETTINGS, START_EVENTS
from otel_dify.table.instrument import Amount, Recording, When

HEAD = """\
# Data dictionary

Every kind of operation that otel_dify records, with its span, metrics and log event.
Generated from `otel_dify/table` by `make docs`; do not edit.

A kind nests under any of those named; what is between them and it may be missing.
Attributes marked *content* hold what users or models wrote. Unless
`OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for them, a reference such as
`ref:workflow_run_id=…` stands in their place.

## On every operation of a run

An operation has these from the one above it; requests, tasks and messages also from those below.
"""
TAIL = """\
Recorded for every operation, whatever the sampling. Labels `tenant_id`, `app_id`, `workflow_id` and
`api_key_id` can be switched off with `OTEL_DIFY_METRIC_TENANT_LABELS=false`; users are never
labels.
"""
DIFFERENT = (
    (
        "tokens of a run that failed",
        "`gen_ai.client.token.usage`: what the provider told, wherever the model was called",
        (
            "`workflow_runs.total_tokens` (and `dify.tokens.*`): what nodes that ended reported; a "
            "model call that broke off is none of them, and a run can have 0"
        ),
    ),
    (
        "tokens of agent nodes",
        (
            "`dify.tokens.*`: the plugin tells the total alone, all of which counts as input; "
            "`gen_ai.client.token.usage` has both kinds, of the calls that the plugin makes back "
            "(`/inner/api/invoke/llm`)"
        ),
        "`total_tokens` of the node, without kinds",
    ),
    (
        "tokens in iterations and loops",
        "once, in those of the iteration or loop",
        (
            "`workflow_runs.total_tokens`: twice with graphon up to 0.7, whose engine adds the "
            "usage of the nodes inside and that of their container"
        ),
    ),
    (
        "tokens of classifiers, extractors, retrieval, names and questions",
        "`gen_ai.client.token.usage`: every one",
        "only where a node or message reports them",
    ),
    (
        "`dify.workflow.node_count`",
        "executions of nodes, those in iterations and loops too, however often they were tried",
        "`workflow_runs.total_steps`: attempts, with graphon up to 0.7 of the outer graph only",
    ),
    (
        "nodes that their run ended before",
        "`stopped`, no error: another node failed, or somebody stopped the run",
        "`failed`",
    ),
    ("messages that their user stopped", "`stopped`", "`normal`, as those that were answered"),
)
"""What differs, what it is here and what it is in Dify's database."""
BEGIN, END = "<!-- settings: generated -->", "<!-- settings: end -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Write a Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def settings() -> str:
    """Write the reference of settings."""

    def rows(*, standard: bool) -> Iterator[Sequence[str]]:
        for setting in SETTINGS:
            if setting.standard is standard:
                yield f"`{setting.name}`", setting.doc, f"`{setting.shown_default}`"

    head = ("Variable", "What it does", "Default")
    lines = [
        *table(head, rows(standard=False)),
        "",
        "OpenTelemetry's own, with their standard meaning:",
        "",
        *table(head, rows(standard=True)),
    ]
    return "\n".join(lines)


def data_dictionary() -> str:
    """Write the data dictionary."""
    inherited = (attribute for attribute in t.ATTRIBUTES if attribute.inherit)
    return "\n".join(
        [
            HEAD,
            *_attributes(inherited),
            "",
            "An operation that failed has these as well, and its span the status ERROR.",
            "A request that Dify refuses has the category, without being a failure.",
            "",
            *_attributes(t.FAILED),
            "",
            "Its log event has `exception.stacktrace`, where an exception was the cause.",
            *(line for kind in t.KINDS for line in _kind(kind)),
            "",
            "## Known peers",
            "",
            "Calls of these have `service.peer.name` (and `peer.service`), and the template of the",
            "path. Where a service is, Dify's settings say. A call through a proxy has the proxy",
            "for its peer, and the target for its address.",
            "",
            *table(
                ("Peer", "Where it is", "Templates"),
                (
                    (
                        f"`{peer.name}`",
                        ", ".join(f"`{name}`" for name in (*peer.addresses, peer.port) if name),
                        ", ".join(f"`{template}`" for template in peer.templates),
                    )
                    for peer in t.PEERS
                ),
            ),
            "",
            "## Metrics",
            "",
            *table(
                ("Metric", "Type", "Unit", "What it measures", "Buckets"),
                (_instrument(instrument) for instrument in t.INSTRUMENTS),
            ),
            "",
            TAIL,
            "## Where Dify has other numbers",
            "",
            "In every layer `dify.tokens.input` and `dify.tokens.output` come to",
            "`dify.tokens.total`.",
            "",
            *table(("What", "Here", "In Dify's database"), DIFFERENT),
            "",
        ]
    )


def _kind(kind: t.Kind) -> Iterator[str]:
    yield from ("", f"## {kind.name.capitalize()}", "", kind.doc, "")
    yield f"- Span: `{kind.span_name}`, {kind.span_kind.name}, below {', '.join(kind.below)}"
    if kind.folded:
        number, seconds, *others = (f"`{attribute.key}`" for attribute in kind.folded)
        yield (
            f"- A fast and successful one has no span: it is counted in {number} and "
            f"{seconds} of the operation above it, and in {', '.join(others)}; a statement that "
            f"comes {REPEATED} times or more is the span event `{t.REPEATED}`, with its text, "
            "number and seconds"
        )
    elif kind.folds:
        yield "- A fast and successful one has no span"
    if kind.event:
        started = (
            f", and with `{START_EVENTS.name}=true` `{kind.start_event}` when it starts"
            if kind.start_event
            else ""
        )
        yield f"- Log event: `{kind.event}`{started}"
    yield ""
    yield from _attributes(kind.attributes)
    if kind.recordings:
        yield ""
        yield from table(
            ("Metric", "Value", "Labels"), (_recording(recording) for recording in kind.recordings)
        )


def _attributes(attributes: Iterable[t.Attribute]) -> Iterator[str]:
    return table(
        ("Attribute", "Type", "What it says"),
        (
            (f"`{known.key}`", known.type, f"{known.doc}{' *(content)*' if known.content else ''}")
            for known in attributes
        ),
    )


def _recording(recording: Recording) -> Sequence[str]:
    if recording.amount is Amount.ONE:
        value = "1"
    elif recording.amount is Amount.DURATION:
        value = "duration"
    else:
        value = f"`{recording.amount.key}`"
    if recording.when is not When.ENDED:
        value += f", if {recording.when.name.lower().replace('_', ' ')}"
    constants = (f'`{name}="{text}"`' for name, text in recording.constants)
    labels = (f"`{name}`" for name, _ in recording.labels)
    return f"`{recording.instrument.name}`", value, ", ".join([*constants, *labels])


def _instrument(instrument: t.Instrument) -> Sequence[str]:
    return (
        f"`{instrument.name}`",
        instrument.kind,
        f"`{instrument.unit}`",
        instrument.doc,
        " ".join(f"{bound:g}" for bound in instrument.buckets),
    )


def readme(text: str) -> str:
    """Put the reference of settings between its marks in the README.

    Raises:
        ValueError: if the marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"README.md needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{settings()}\n{END}{after}"


def main(arguments: Sequence[str] | None = None, root: Path = Path()) -> int:
    """Write the documents, or check them; the exit code tells whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check")
    check = parser.parse_args(arguments).check
    wanted = {
        root / "docs" / "data-dictionary.md": data_dictionary(),
        root / "README.md": readme((root / "README.md").read_text(encoding="utf-8")),
    }
    stale = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        if check:
            sys.stderr.write(f"{path} is not up to date: run `make docs` and commit it\n")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return len(stale) if check else 0


if __name__ == "__main__":
    sys.exit(main())
