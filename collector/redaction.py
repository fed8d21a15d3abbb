"""The Collector's redaction: a second line behind that of Dify's processes, as a drop-in.

``python -m collector.redaction`` writes ``drop-ins/redaction.yaml`` from the forms of secrets that
otel_dify knows; with ``--check`` it writes nothing and fails where it is not up to date. The
Collector's expressions are RE2's, which have no conditions on what stands around a match: only what
is known by its form is masked, and what stands under the name of a secret is deleted.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from otel_dify.cleaning.forms import ROWS
from otel_dify.cleaning.named import MASK

FILE = Path(__file__).parent / "drop-ins" / "redaction.yaml"
_HEAD = """\
# Secrets are masked once more in the Collector, whoever sends them: Dify's processes have done so
# already, what else sends to this Collector has not. Spans, their events, log records and labels.
#
# Generated from otel_dify/cleaning/forms.py by `python -m collector.redaction`; do not edit.

processors:
  transform/redaction:
    error_mode: ignore
"""
_NAMES = (
    "(?i)(password|passwd|passphrase|secret|authorization|cookie|credentials?|"
    "(api|access|private|secret)[_.-]?key|(access|refresh|id|auth)[_.-]?token)$"
)
_ADDRESS = "(://[^/:@ ]{0,256}):[^@/ ]{1,256}@"


def expression() -> str:
    """Write the expression of all forms, as RE2 and OTTL read it."""
    forms = "|".join(prefix.replace(".", "[.]") + body for prefix, body in ROWS)
    key = "-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(-----END [A-Z ]{0,40}PRIVATE KEY-----)?"
    return rf"(\\b({forms})|{key})"


def _statements(context: str, *texts: str) -> list[str]:
    """Write the statements of a context, the texts besides its attributes."""
    attributes = f"{context}.attributes"
    found = [f'delete_matching_keys({attributes}, "{_NAMES}")']
    for pattern, mask in ((expression(), MASK), (_ADDRESS, f"$$1:{MASK}@")):
        found.append(f'replace_all_patterns({attributes}, "value", "{pattern}", "{mask}")')
        found += [f'replace_pattern({text}, "{pattern}", "{mask}")' for text in texts]
    return found


def drop_in() -> str:
    """Write the drop-in."""
    contexts = {
        "trace_statements": (
            ("span", "span.name", "span.status.message"),
            ("spanevent", "spanevent.name"),
        ),
        "log_statements": (("log", "log.body"),),
        "metric_statements": (("datapoint",),),
    }
    lines = [_HEAD.rstrip()]
    for signal, several in contexts.items():
        lines.append(f"    {signal}:")
        for context, *texts in several:
            lines += [f"      - context: {context}", "        statements:"]
            lines += [f"          - '{one}'" for one in _statements(context, *texts)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the drop-in, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    if parser.parse_args().check:
        if FILE.read_text() != drop_in():
            print(f"{FILE.name} is not up to date: run python -m collector.redaction")
            return 1
        return 0
    FILE.write_text(drop_in())
    return 0


if __name__ == "__main__":
    sys.exit(main())
