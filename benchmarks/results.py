"""``RESULTS.md``: what was measured, in sections that are written each on their own.

A section stands between two markers and is replaced as a whole; what stands outside of them stays.
Ratios to something measured in the same run come first: absolute times are those of one machine.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"
SECTIONS = ("micro", "export", "limits", "dify", "ledger")
PACKAGES = ("opentelemetry-sdk", "sqlalchemy", "redis", "graphon", "gevent")

_HEAD = (
    "# What it costs\n\n"
    "Written by `make bench` (micro, export) and `make bench-dify` (dify, ledger). The times are "
    "those of the machine that each section names; the ratios hold elsewhere too.\n"
)
_ASK = (
    "import json, platform, sys\n"
    "from importlib.metadata import PackageNotFoundError, version\n"
    "found = {'Python': platform.python_version()}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = version(name)\n"
    "    except PackageNotFoundError: pass\n"
    "print(json.dumps(found))\n"
)


def write(section: str, body: str, path: Path = RESULTS) -> None:
    """Replace a section, or add it after those that come before it.

    Args:
        section: one of ``SECTIONS``.
        body: its Markdown, without markers.
        path: the file; it is made where it is missing.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    begin, end = _markers(section)
    block = f"{begin}\n{body.strip()}\n{end}"
    if begin in text and end in text:
        text = text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    else:
        earlier = SECTIONS[: SECTIONS.index(section)]
        ends = [text.index(m) + len(m) for m in (_markers(s)[1] for s in earlier) if m in text]
        later = [text.index(m) for m in (_markers(s)[0] for s in SECTIONS) if m in text]
        at = max(ends) if ends else min(later, default=len(text))
        text = f"{text[:at].rstrip()}\n\n{block}\n\n{text[at:].lstrip()}".rstrip() + "\n"
    path.write_text(text, encoding="utf-8")


def _markers(section: str) -> tuple[str, str]:
    return f"<!-- {section}: begin -->", f"<!-- {section}: end -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a table as Markdown that reads well as plain text too; the first column is text."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    laid = [
        " | ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    rule = [
        ":" + "-" * (w - 1) if column == 0 else "-" * (w - 1) + ":"
        for column, w in enumerate(widths)
    ]
    return "\n".join(f"| {line} |" for line in (laid[0], " | ".join(rule), *laid[1:]))


def middle_half(values: Sequence[float], digits: int = 2) -> str:
    """Say between which values the middle half of some lies."""
    low, high = min(values), max(values)
    if len(values) >= 4:  # noqa: PLR2004 - fewer have no quarters
        low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def fraction(value: float) -> str:
    """Write a ratio, and as a fraction where it is below one half."""
    return f"{value:.2f}" if value <= 0 or value > 1 / 2 else f"{value:.2f} (1/{1 / value:.1f})"


def versions(python: Path | str = sys.executable) -> dict[str, str]:
    """Ask a Python for its version and those of what telemetry's cost depends on."""
    asked = subprocess.run(
        [str(python), "-c", _ASK, *PACKAGES], check=True, capture_output=True, text=True
    )
    found: dict[str, str] = json.loads(asked.stdout)
    return found


def measured_on(known: Mapping[str, str]) -> str:
    """Say when and on what a section was measured, in one line.

    Args:
        known: versions, by the name of what has them.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    machine = f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB"
    parts = [machine, *(f"{name} {version}" for name, version in known.items())]
    return f"Measured on {datetime.now(UTC):%Y-%m-%d}: {', '.join(parts)}."


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
