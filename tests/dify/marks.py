"""Marks: random words that content carries, so that it is found wherever it goes."""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from urllib.parse import unquote_to_bytes

KINDS = (
    "input",
    "prompt",
    "template",
    "answer",
    "tool-argument",
    "tool-result",
    "document",
    "file-name",
    "file-content",
    "http-body",
    "code",
    "feedback",
)
"""What carries a mark of its own."""
_HEX = 16
_HALF = _HEX // 2
_ESCAPE = re.compile(rb"\\+u00([0-9a-fA-F]{2})")
_GZIP = b"\x1f\x8b\x08"
_BASE64_GROUP = 3


class Marks:
    """One mark for each kind of content.

    Args:
        seed: makes the marks of one run those of another.
    """

    def __init__(self, seed: int) -> None:
        source = Random(seed)  # noqa: S311 - nothing is to be kept secret
        self.tokens = {kind: f"{source.getrandbits(4 * _HEX):0{_HEX}x}" for kind in KINDS}
        # Halves, and all of it in base64 or as hexadecimal digits.
        self._kinds = {
            part: kind
            for kind, token in self.tokens.items()
            for part in (token[:_HALF].encode(), token[_HALF:].encode(), *_encoded(token))
        }
        self._parts = re.compile(b"|".join(map(re.escape, self._kinds)))

    def word(self, kind: str) -> str:
        """Return the mark of a kind as one word, for names and addresses."""
        return f"canary-{kind}-{self.tokens[kind]}"

    def line(self, kind: str) -> str:
        """Return it as a line of text does: with quotes, an accent and another script."""
        return f'{self.word(kind)} says "caf\u00e9" \u4f60\u597d'

    def text(self, kind: str) -> str:
        """Return it as text of two lines does."""
        return f"{self.line(kind)}\nand 'goes' on"

    def found(self, given: bytes) -> Counter[tuple[str, str]]:
        """Count the marks in some bytes, by kind and by the form that each has there.

        A half of a mark counts as well: who cuts a text may cut it there.
        """
        seen: Counter[tuple[str, str]] = Counter()
        for form, layer in _layers(given):
            here = Counter(self._kinds[part] for part in self._parts.findall(layer))
            for kind, number in here.items():
                # Decoding changes what is escaped and leaves the rest as it is.
                more = (
                    number - seen[kind, "plain"] if form in {"URL-encoded", "escaped"} else number
                )
                if more:
                    seen[kind, form] += more
        return seen


def _layers(given: bytes) -> Iterator[tuple[str, bytes]]:
    """Give bytes as they are, and as they are when what may be encoded in them is decoded."""
    yield "plain", given
    if b"%" in given and (decoded := unquote_to_bytes(given)) != given:
        yield "URL-encoded", decoded
    if b"\\u00" in given:
        yield "escaped", _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), given)
    at = given.find(_GZIP)
    while at >= 0:
        inner = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        with suppress(zlib.error):  # three bytes that happen to look so
            yield "compressed", inner.decompress(given[at:])
        at = given.find(_GZIP, at + 1)


def _encoded(token: str) -> Iterator[bytes]:
    """Give a mark in base64, wherever in a text it begins, and as hexadecimal digits."""
    plain = token.encode()
    yield plain.hex().encode()
    for shift in range(_BASE64_GROUP):
        whole = base64.b64encode(b"\0" * shift + plain)
        # The first and the last group hold bits of what stands around it.
        yield whole[4:-4]
