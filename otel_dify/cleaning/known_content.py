"""Known content: what users and models wrote, found again in texts that quote it.

Log lines, messages of errors and addresses are no content, but may repeat some: a prompt that a
provider refuses, an answer that cannot be parsed, a name in a path. Which lines do so is not
known; what they would repeat is: the content of the operations around them. All operations of one
tree (a request, a task) share one ``KnownContent``. It holds references, and looks into them only
when there is a text to compare and content is not sent.

Text and content are compared by their letters and digits alone, so that it does not matter how
either is quoted, escaped, wrapped or encoded for an address. A run of ``LEAST`` characters or more
that both have is replaced; of shorter content only the whole, where it stands in quotes, by
itself, or at the end behind a colon. Content shorter than ``SHORTEST`` is not looked for: a "yes"
is in many words.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import accumulate

from otel_dify.cleaning.content_texts import LIMIT, is_heavy, texts_of
from otel_dify.cleaning.escapes import Plain, plain
from otel_dify.cleaning.redaction import LIMIT as TEXT_LIMIT
from otel_dify.cleaning.redaction import cut
from otel_dify.guard import guarded

PLACEHOLDER = "[content]"
"""Stands for what was taken out of a text."""
LEAST = 16
"""Letters and digits that text and content must have in common; others than ASCII count twice."""
SHORTEST = 4
"""Characters of the shortest content that is looked for."""
MOST = TEXT_LIMIT - 64
"""Characters of a text that are compared and kept: no more are sent of it."""
_TREE_LIMIT = 4 * LIMIT
"""Characters known of a tree; beyond it what came since the first ``LIMIT`` is forgotten: those
are what a request brought and a run began with."""
_WAITING = 64
"""Values that wait to be looked into; of more the oldest are forgotten."""
_GRAM = 8
_LONGEST_SHORT = 64
# Words of ASCII as they are; of scripts without spaces each character is one.
_WORD = re.compile(r"[A-Za-z0-9_]+|[^\W\x00-\x7f]")
_QUOTED = re.compile(r"([\"'`])((?:(?!\1)[^\n\\]){1,64})\\{0,8}\1")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class KnownContent:
    """The content of a tree of operations."""

    __slots__ = ("_at", "_first", "_mentioned", "_seen", "_short", "_size", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[object] = deque(maxlen=_WAITING)
        # Eight characters at each beginning of a word, to a text that has them and where.
        self._at: dict[str, tuple[str, int]] = {}
        self._short: set[str] = set()
        # The same is input of one node, output of another, and part of a prompt.
        self._seen: set[str] = set()
        self._size = 0
        self._first: tuple[dict[str, tuple[str, int]], set[str], set[str]] | None = None
        self._mentioned: deque[str] = deque(maxlen=_WAITING)

    def remember(self, value: object) -> None:
        """Keep a reference to content; of what is large, a copy of its beginning and end.

        Args:
            value: the content, or a function that returns it, and ``None`` while it cannot.
        """
        self._waiting.append(tuple(texts_of(value)) if is_heavy(value) else value)

    def mention(self, text: str) -> None:
        """Take note of the message of a failure: that nodes hand it on makes it no content.

        What it quotes stays content.
        """
        own = self.without(text).split(PLACEHOLDER)
        self._mentioned.extend(part for part in own if len(part) >= LEAST)

    def without(self, text: str) -> str:
        """Return a text with what it repeats of the content replaced, cut to ``MOST``."""
        if len(text) > MOST:
            text = cut(text, MOST)
        if self._waiting:
            self._look()
        if self._at and self._may_repeat(text):
            given = plain(text)
            spans = list(self._repeated(given.text))
            if spans:
                text = _replaced(text, given, spans)
        return self._without_short(text) if self._short else text

    def _look(self) -> None:
        """Look into what waits. Several threads may; each value is taken by one of them."""
        not_yet: list[object] = []
        with suppress(IndexError):  # no more, or another thread was faster
            while True:
                value = self._waiting.popleft()
                with guarded("otel_dify.cleaning.known_content"):
                    told = value() if callable(value) else value
                    if told is None:
                        not_yet.append(value)
                    for leaf in texts_of(told):
                        for part in self._written(leaf):
                            self._learn(part)
        self._waiting.extend(not_yet)

    def _written(self, leaf: str) -> Iterable[str]:
        """Cut out of content what is none: messages of failures, and ids, which lines need."""
        parts = _UUID.split(leaf) if "-" in leaf else [leaf]
        for message in tuple(self._mentioned):
            parts = [rest for part in parts for rest in part.split(message)]
        return parts

    def _learn(self, leaf: str) -> None:
        if leaf in self._seen:
            return
        self._make_room()
        self._seen.add(leaf)
        self._size += len(leaf) + 1
        words = _WORD.findall(plain(leaf).text)
        letters = "".join(words)
        if _weight_of(letters) >= LEAST:
            starts = accumulate(map(len, words[:-1]), initial=0)
            self._at.update((letters[at : at + _GRAM], (letters, at)) for at in starts)
        elif SHORTEST <= len(short := leaf.strip()) <= _LONGEST_SHORT:
            self._short.add(short)

    def _make_room(self) -> None:
        """Forget, where there is too much, all but what came first."""
        if self._first is None and self._size > LIMIT:
            self._first = dict(self._at), set(self._short), set(self._seen)
        if self._first is not None and self._size > _TREE_LIMIT:
            at, short, seen = self._first
            self._at, self._short, self._seen, self._size = dict(at), set(short), set(seen), LIMIT

    def _may_repeat(self, text: str) -> bool:
        """Tell whether any of its words begins what is known; most lines go no further."""
        if "\\" in text or "%" in text:
            return True
        words = _WORD.findall(text)
        letters, known, at = "".join(words), self._at, 0
        for word in words:
            if letters[at : at + _GRAM] in known:
                return True
            at += len(word)
        return False

    def _repeated(self, text: str) -> Iterator[tuple[int, int]]:
        """Find where a text repeats content: beginning and end of each run."""
        found = list(_WORD.finditer(text))
        words = [word[0] for word in found]
        letters = "".join(words)
        starts = list(accumulate(map(len, words[:-1]), initial=0)) if words else []
        known, done = self._at, 0
        for at in starts:
            if at < done or (hit := known.get(letters[at : at + _GRAM])) is None:
                continue
            begin, end = _widened(letters, at, *hit, done)
            if _weight_of(letters[begin:end]) >= LEAST:
                yield _place(begin, starts, found), _place(end - 1, starts, found) + 1
                done = end

    def _without_short(self, text: str) -> str:
        short = self._short
        if text.strip() in short:
            return PLACEHOLDER

        def hide(found: re.Match[str]) -> str:
            whole, _, said = found.group(0, 1, 2)
            return whole.replace(said, PLACEHOLDER) if said.strip() in short else whole

        if "'" in text or '"' in text or "`" in text:
            text = _QUOTED.sub(hide, text)
        head, colon, tail = text.rpartition(": ")
        return f"{head}{colon}{PLACEHOLDER}" if colon and tail.strip() in short else text


def without(text: str, known: Iterable[KnownContent]) -> str:
    """Return a text without what it repeats of any of these contents."""
    for one in known:
        text = one.without(text)
    return text


def _widened(letters: str, at: int, source: str, there: int, least: int) -> tuple[int, int]:
    """Widen what text and source have in common to all that they have in common around it."""
    begin, end, other = at, at + _GRAM, there + _GRAM
    end = min(end, len(letters))
    while end < len(letters) and other < len(source) and letters[end] == source[other]:
        end, other = end + 1, other + 1
    while begin > least and there > 0 and letters[begin - 1] == source[there - 1]:
        begin, there = begin - 1, there - 1
    return begin, end


def _place(at: int, starts: list[int], found: list[re.Match[str]]) -> int:
    """Return where in a text one of its letters is."""
    low, high = 0, len(starts)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if starts[middle] <= at else (low, middle)
    return found[low].start() + at - starts[low]


def _replaced(text: str, given: Plain, spans: Iterable[tuple[int, int]]) -> str:
    """Replace spans of the plain form of a text; those with no letter in between as one."""
    parts: list[str] = []
    done = 0
    for begin, end in spans:
        first, last = given.original(begin, end)
        between = text[done:first]
        if parts and not _WORD.search(between):
            done = last
            continue
        parts += [between, PLACEHOLDER]
        done = last
    return "".join(parts) + text[done:]


def _weight_of(letters: str) -> int:
    return len(letters) if letters.isascii() else sum(1 + (char > "\x7f") for char in letters)
