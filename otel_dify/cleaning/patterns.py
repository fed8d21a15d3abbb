"""The operator's own patterns: what else is masked, and what keeps a bad one from costing Dify.

Python's expressions cannot be interrupted. One that repeats what repeats (``(a+)+``) may take
longer than anybody waits on a few characters, so it is refused when it is read; one that turns out
to be slow is left out from then on, and both are said once.
"""

from __future__ import annotations

import re
import time

from otel_dify.guard import say_once

SLOW_NS = 100_000_000
"""CPU that a pattern may take on one text, nanoseconds."""
_REPEAT = re.compile(r"[*+]|\{\d*,?\d*\}")
_FEW = re.compile(r"\{[0-8]?,?[0-8]\}")
_MOST_OPEN = 2
NAME = "OTEL_DIFY_MASK_PATTERNS"


def parse(text: str) -> tuple[re.Pattern[str], ...]:
    r"""Read patterns with blanks between them; one that cannot be used costs itself.

    A blank within one is written ``\s``.
    """
    found = []
    for one in text.split():
        try:
            found.append(_read(one))
        except (ValueError, RecursionError, OverflowError) as error:  # re.error is a ValueError
            say_once(
                f"{NAME}: the pattern {one!r} cannot be used: {error}. The others are; set it "
                "right and restart"
            )
    return tuple(found)


def _read(text: str) -> re.Pattern[str]:
    try:
        made = re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None
    if made.match(""):
        raise ValueError("it fits everywhere, even nothing")
    _check(text)
    return made


def _check(text: str) -> None:
    """Refuse a pattern that could take longer than anybody waits.

    Raises:
        ValueError: it repeats a group that repeats or chooses, or has several repetitions without
            an end.
    """
    plain = re.sub(r"\\.", "x", text)
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", plain)
    groups: list[bool] = []
    endless = 0
    at = 0
    while at < len(plain):
        repeat = _REPEAT.match(plain, at)
        if plain[at] == "(":
            groups.append(False)
        elif plain[at] == ")" and groups:
            varies = groups.pop()
            repeat = _REPEAT.match(plain, at + 1)
            if varies and repeat and not _FEW.fullmatch(repeat[0]):
                raise ValueError(f"it repeats a group that repeats or chooses ({repeat[0]})")
            if groups and varies:
                groups[-1] = True
        elif (plain[at] == "|" or repeat) and groups:
            groups[-1] = True
        if repeat and (repeat[0] in "*+" or repeat[0].endswith(",}")):
            endless += 1
            at = repeat.end() - 1
        at += 1
    if endless > _MOST_OPEN:
        raise ValueError(
            f"it has {endless} repetitions without an end, and more than {_MOST_OPEN} take too "
            "long; write {0,100} for *"
        )


def mask_own(text: str, patterns: list[re.Pattern[str]], mask: str) -> str:
    """Mask what the operator's patterns fit; one that is slow is taken out of the list."""
    for pattern in tuple(patterns):
        began = time.thread_time_ns()
        text = pattern.sub(mask, text)
        if time.thread_time_ns() - began > SLOW_NS:
            if pattern in patterns:
                patterns.remove(pattern)
            say_once(
                f"{NAME}: the pattern {pattern.pattern!r} took more than "
                f"{SLOW_NS // 1_000_000} ms on one text and is not searched for any more. Make it "
                "faster and restart"
            )
    return text
