"""Long words: where secrets by form and by encoding are looked for, and nowhere else.

A secret is a long word, and most texts have few. They are found by translating the text, which is
done by C as the search that follows; nothing is done for each character in Python.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable

from otel_dify.cleaning.forms import secret_in

SHORTEST = 20
"""Characters that a secret known by its form has at least."""
_RUN = b"w" * SHORTEST
_PART = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_SHAPE = bytes(ord("w") if byte in _PART else ord(" ") for byte in range(256))
_TELLING = bytes(ord("w") if chr(byte).isdigit() or 65 <= byte <= 90 else 32 for byte in range(256))  # noqa: PLR2004 - A to Z
_UUID_SIZE, _DASH = 36, ord("-")
_BASE64 = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
_ENCODED = (re.compile(rb"[A-Za-z0-9+/]+"), re.compile(rb"[A-Za-z0-9_-]+"))
_STANDARD = bytes.maketrans(b"-_", b"+/")
_PATH = 64
_BEGINNING = 8
_LEAST_ENCODED = 24


def mask_words(raw: bytes, mask: bytes, is_masked: Callable[[str, int], bool], depth: int) -> bytes:
    """Mask the secrets among the long words of a text.

    Args:
        raw: the text, UTF-8.
        mask: what stands for a secret.
        is_masked: tells of what was encoded, and of the next argument, whether there is a secret in
            it.
        depth: how many times over what is encoded is decoded; 0 for not at all.
    """
    shape = raw.translate(_SHAPE)
    at = shape.find(_RUN)
    if at < 0:
        return raw
    parts: list[bytes] = []
    done = decoded = 0
    telling = raw.translate(_TELLING)
    while at >= 0:
        told = telling.find(b"w", at)
        if told < 0:
            break
        end = shape.find(b" ", at)
        if end < 0:
            end = len(raw)
        if told >= end:
            # Small letters alone, joined, are what people write; so are all words up to this one.
            at = shape.find(_RUN, shape.rfind(b" ", at, told) + 1)
            continue
        if end - at != _UUID_SIZE or not _is_uuid(raw, at):
            found = secret_in(raw, at, end)
            if found is None and depth and at >= decoded:
                text, found, decoded = _encoded(raw, at)
                if found is not None and not is_masked(text, depth):
                    found = None
            if found is not None and found[0] >= done:
                parts += (raw[done : found[0]], mask)
                done = found[1]
                # What is left of the word may have another one.
                end = max(at + 1, done)
        at = shape.find(_RUN, end)
    return b"".join(parts) + raw[done:] if parts else raw


def _is_uuid(raw: bytes, at: int) -> bool:
    return raw[at + 8] == raw[at + 13] == raw[at + 18] == raw[at + 23] == _DASH


def _encoded(raw: bytes, at: int) -> tuple[str, tuple[int, int] | None, int]:
    """Decode what a word is part of, if it is Base64 of text.

    Returns:
        The text; where what it was decoded from begins and ends; how far was looked.
    """
    before = raw[max(at - _PATH, 0) : at]
    whole = at - len(before) + len(before.rstrip(_BASE64))
    end = at
    # What looks like a part of it may be the path of an address before it.
    for start in (at,) if whole == at else (whole, at):
        for alphabet in _ENCODED:
            found = alphabet.match(raw, start)
            if found is None or found.end() - start < _LEAST_ENCODED:
                continue
            end = max(end, found.end())
            if text := _decode(found[0]):
                stop = found.end()
                while raw[stop : stop + 1] == b"=":
                    stop += 1
                return text, (start, stop), stop
    return "", None, end


def _decode(word: bytes) -> str:
    """Decode Base64; nothing where it is none, or stands for what is no text."""
    word = word.translate(_STANDARD)
    try:
        beginning = binascii.a2b_base64(word[:_BEGINNING])
        if not (beginning.isascii() and beginning.decode().isprintable()):
            return ""
        word = word[:-1] if len(word) % 4 == 1 else word
        return binascii.a2b_base64(word + b"=" * (-len(word) % 4)).decode("utf-8", "replace")
    except ValueError:
        return ""
