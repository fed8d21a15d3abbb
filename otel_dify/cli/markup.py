"""HTML that cannot be broken out of: text becomes markup in one place, which escapes it."""

from __future__ import annotations

import html
import re

# What no HTML document may hold, and what turns text around or hides in it: controls, surrogates,
# noncharacters, directional overrides and zero-width characters.
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    "\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_VOID = {"meta"}

type Child = Markup | str


class Markup(str):
    """Text that is markup already; made by ``element`` and ``joined`` alone."""

    __slots__ = ()


def escaped(text: str) -> Markup:
    """Write text as it is to be read, whatever it holds."""
    return Markup(html.escape(_UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def element(tag: str, *children: Child, **attributes: str | float | bool) -> Markup:
    """Make an element.

    Args:
        tag: its name.
        children: markup as it is, text escaped.
        attributes: by name (``class_`` is ``class``); those that are false are left out, those that
            are true have no value.
    """
    head = tag
    for name, value in attributes.items():
        if value is True:
            head += f" {name.rstrip('_')}"
        elif value is not False:
            head += f' {name.rstrip("_").replace("_", "-")}="{escaped(str(value))}"'
    if tag in _VOID:
        return Markup(f"<{head}>")
    return Markup(f"<{head}>{joined(*children)}</{tag}>")


def joined(*children: Child) -> Markup:
    """Put markup and text, which is escaped, behind each other."""
    return Markup("".join(c if isinstance(c, Markup) else escaped(c) for c in children))
