"""Text for a terminal: cells instead of characters, and numbers for people."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal

from wcwidth import wcswidth, wcwidth

# C0, DEL and C1 controls: what a model or user wrote must not move the cursor of who reads it.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MS = 1_000_000
_S = 1_000 * _MS


def plain(text: str) -> str:
    """Replace control characters, line breaks included, by spaces."""
    return _CONTROL.sub(" ", text)


def cells(text: str) -> int:
    """Count the terminal cells that a text without control characters takes."""
    return max(wcswidth(text), 0)


def fit(text: str, width: int) -> str:
    """Cut or pad a text to exactly ``width`` cells; a cut one ends with an ellipsis."""
    if cells(text) <= width:
        return text + " " * (width - cells(text))
    kept = ""
    for character in text:
        if cells(kept + character) > width - 1:
            break
        kept += character
    return kept + "…" + " " * (width - 1 - cells(kept))


def wrap(text: str, width: int) -> list[str]:
    """Break a text into lines of at most ``width`` cells, at spaces where there are any."""
    lines: list[str] = []
    line = ""
    for word in re.findall(r"\S+\s*|\s+", plain(text)):
        if line and cells(line + word.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        rest = word
        while cells(rest.rstrip()) > width:
            head = _head(rest, width)
            lines.append(head)
            rest = rest[len(head) :]
        line += rest
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _head(text: str, width: int) -> str:
    """Take as many characters as fit, and one at least."""
    taken, used = 0, 0
    for character in text:
        used += max(wcwidth(character), 0)
        if used > width and taken:
            break
        taken += 1
    return text[:taken]


def duration(ns: int) -> str:
    """Write nanoseconds with three digits or so."""
    if ns < _S:
        digits = 2 if ns < _MS else 1 if ns < 10 * _MS else 0
        return f"{ns / _MS:.{digits}f} ms"
    if ns < 60 * _S:
        return f"{ns / _S:.2f} s"
    minutes, seconds = divmod(ns // _S, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def number(value: float) -> str:
    """Write a number without needless digits: whole ones whole, others to 4 significant ones."""
    if math.isfinite(value) and value == int(value) and abs(value) < 10**15:
        return f"{int(value)}"
    return f"{Decimal(f'{value:.4g}'):f}" if abs(value) < 1 else f"{value:.4g}"


def price(amount: float, currency: str) -> str:
    """Write a price; those of single calls are tiny, so never in exponential form."""
    digits = f"{amount:.2f}" if amount >= 1 else f"{Decimal(f'{amount:.3g}'):f}"
    return f"{digits} {plain(currency)}".rstrip()


def clock(ns: int, *, date: bool = False) -> str:
    """Write a time of day in UTC to the millisecond, with its date where asked for."""
    when = datetime.fromtimestamp(ns // _S, UTC)
    day = when.strftime("%Y-%m-%d ") if date else ""
    return f"{day}{when.strftime('%H:%M:%S')}.{ns // _MS % 1000:03}"
