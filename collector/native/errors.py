"""What goes wrong with native programs, told to the operator."""

from pathlib import Path


class NativeError(Exception):
    """A program could not be built, started or queried; the message says what to do next."""


def tail(path: Path, lines: int = 25) -> str:
    """The last lines of a log, indented, for an error message."""
    if not path.exists():
        return "  (no log was written)"
    text = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  | {line[:400]}" for line in text) or "  (the log is empty)"
