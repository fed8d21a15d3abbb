"""Rounds: children that take turns, so that a machine that changes is the same for all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

type Round = dict[tuple[str, str], dict[str, Any]]
"""What the children of one round printed, by case and variant."""


def run(
    order: Sequence[tuple[str, str]], rounds: int, child: Callable[[str, str], dict[str, Any]]
) -> list[Round]:
    """Run all children, round by round; every other round goes backwards.

    Args:
        order: case and variant of each.
        rounds: how many rounds.
        child: runs one and returns what it printed.
    """
    found: list[Round] = []
    for number in range(rounds):
        this: Round = {}
        for case, variant in order if number % 2 == 0 else reversed(order):
            print(f"round {number + 1} of {rounds}: {case}, {variant}", file=sys.stderr, flush=True)
            this[case, variant] = child(case, variant)
        found.append(this)
    return found
