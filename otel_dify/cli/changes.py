"""How two figures are set beside each other."""

from __future__ import annotations

_MANY = 10.0


def change(a: float, b: float) -> str:
    """Say by how much a figure has changed: in percent, or how many times it is what it was."""
    if a == b:
        return "="
    if not a:
        return "new"
    if not b:
        return "gone"
    if b / a >= _MANY:
        return f"x{b / a:.0f}"
    return f"{(b - a) / a * 100:+.0f} %"


def both(a: str, b: str) -> str:
    """Write two texts as one where they are the same."""
    return a if a == b else f"{a or '-'} → {b or '-'}"
