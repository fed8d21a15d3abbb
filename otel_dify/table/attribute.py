"""An attribute of the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

type Type = Literal["string", "int", "double", "boolean", "string[]"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute.

    Attributes:
        key: its name on spans and log events.
        type: the type of its values.
        doc: what it says, for the data dictionary.
        content: whether it holds what users or models wrote; then it is left out unless asked for
            (``cleaning/content.py``).
        text: characters kept of it where it is free text, which is searched for secrets; 0 where
            it is an id, a number, an enumeration or a name, which is not.
        quotes: whether it is text that may quote content; what it quotes is left out where content
            is (``cleaning/known_content.py``).
        user: whether it is the id of a user, which may be sent as a hash.
        inherit: whether every operation below the one that has it gets it too.
        hoist: whether the request, task and message above it get it as well: what names the run,
            not what names a part of it.
    """

    key: str
    type: Type
    doc: str
    content: bool = False
    text: int = 0
    quotes: bool = False
    user: bool = False
    inherit: bool = False
    hoist: bool = False

    # Attributes are keys of many small mappings; two of the same key are the same one.
    def __hash__(self) -> int:
        return hash(self.key)


def define(
    key: str,
    kind: Type,
    doc: str,
    *,
    content: bool = False,
    text: int = 0,
    quotes: bool = False,
    user: bool = False,
    inherit: bool = False,
    hoist: bool = True,
) -> Attribute:
    """Make an attribute of the table; one that is inherited is hoisted unless it says otherwise."""
    return Attribute(key, kind, doc, content, text, quotes, user, inherit, inherit and hoist)
