"""Escapes: texts as they were before they were quoted for a log line, JSON or an address."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from urllib.parse import unquote

# Several backslashes: what is quoted may be quoted again. A run of them is looked at once.
_ESCAPED = re.compile(
    r"(?<!\\)(?:"
    r"(?P<unicode>(?:\\{1,16}u[0-9a-fA-F]{4})+)"
    r"|(?P<bytes>(?:\\{1,16}x[0-9a-fA-F]{2})+)"
    r"|\\{1,16}[nrtbfv])"
    r"|(?P<percent>(?:%[0-9a-fA-F]{2})+)"
)
_DIGITS = re.compile(r"[0-9a-fA-F]{4}|[0-9a-fA-F]{2}")


class Plain:
    """A text with its escapes undone, and where each part of it was.

    Attributes:
        text: the text.

    Args:
        text: the text.
        begins: where in it each part begins that is or follows an escape.
        places: for each of these where in the original it begins and ends, and whether it is an
            escape.
    """

    __slots__ = ("_begins", "_places", "text")

    def __init__(
        self,
        text: str,
        begins: Sequence[int] = (),
        places: Sequence[tuple[int, int, bool]] = (),
    ) -> None:
        self.text = text
        self._begins = begins
        self._places = places

    def original(self, begin: int, end: int) -> tuple[int, int]:
        """Return beginning and end in the original of a span of the text that is not empty."""
        if not self._begins:
            return begin, end
        return self._original(begin)[0], self._original(end - 1)[1]

    def _original(self, at: int) -> tuple[int, int]:
        number = bisect_right(self._begins, at) - 1
        begin, end, escaped = self._places[number]
        if escaped:
            return begin, end
        exact = begin + at - self._begins[number]
        return exact, exact + 1


def plain(text: str) -> Plain:
    r"""Undo escapes: ``\uXXXX``, ``\xXX``, ``\n`` and the like, ``%XX``; most texts have none."""
    if "\\" not in text and "%" not in text:
        return Plain(text)
    parts: list[str] = []
    begins: list[int] = []
    places: list[tuple[int, int, bool]] = []
    size = done = 0

    def add(part: str, begin: int, end: int, *, escaped: bool) -> None:
        nonlocal size
        if part:
            begins.append(size)
            places.append((begin, end, escaped))
            parts.append(part)
            size += len(part)

    for found in _ESCAPED.finditer(text):
        add(text[done : found.start()], done, found.start(), escaped=False)
        add(_undone(found), found.start(), found.end(), escaped=True)
        done = found.end()
    add(text[done:], done, len(text), escaped=False)
    return Plain("".join(parts), begins, places)


def _undone(found: re.Match[str]) -> str:
    if found["percent"]:
        return unquote(found["percent"])
    if found["unicode"]:
        pairs = b"".join(bytes.fromhex(digits) for digits in _DIGITS.findall(found["unicode"]))
        return pairs.decode("utf-16-be", "replace")
    if found["bytes"]:
        return _of_bytes(bytes.fromhex("".join(_DIGITS.findall(found["bytes"]))))
    return " "


def _of_bytes(given: bytes) -> str:
    """Read what ``repr`` has written of bytes, or ``ascii`` of a text of Latin letters."""
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")
