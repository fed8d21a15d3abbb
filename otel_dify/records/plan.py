"""Plans: what is the same for all operations of a kind, compiled once."""

from __future__ import annotations

import re
from collections.abc import Mapping

from otel_dify import table as t
from otel_dify.cleaning.values import Value

_FIELD = re.compile(r"\{([^}]+)\}")


class Pattern:
    """A pattern of the table, with names of attributes in braces, ready to be filled.

    Args:
        pattern: the text.
        missing: what stands for an attribute that has no value.
    """

    __slots__ = ("_names", "_parts")

    def __init__(self, pattern: str, missing: str = "") -> None:
        texts = _FIELD.split(pattern)
        self._names = frozenset(texts[1::2])
        # Texts and names take turns: a name's text is what stands for it where it is missing.
        self._parts = tuple(
            (missing, part) if number % 2 else (part, "")
            for number, part in enumerate(texts)
            if part
        )

    def fill(self, known: Mapping[str, Value]) -> str:
        """Put values of attributes for their names."""
        return "".join(str(known.get(name, text)) if name else text for text, name in self._parts)

    def fits(self, known: Mapping[str, Value]) -> bool:
        """Tell whether every attribute that it names has a value."""
        return self._names <= known.keys()


class Plan:
    """A kind's plan.

    Attributes:
        kind: its row of the table.
        span_name: the pattern of its span's name.
        subject: the pattern that its sentences begin with.
        done: how they go on for one that succeeded.
        failed: how they go on for one that failed.
        also: what they may say of what lies below.
    """

    __slots__ = ("also", "done", "failed", "kind", "span_name", "subject")

    def __init__(self, kind: t.Kind) -> None:
        self.kind = kind
        self.span_name = Pattern(kind.span_name)
        self.subject = Pattern(kind.subject or kind.name, missing="?")
        self.done = Pattern(kind.done)
        self.failed = Pattern(kind.failed)
        self.also = tuple(Pattern(text) for text in kind.also)


PLANS = {kind: Plan(kind) for kind in t.KINDS}
