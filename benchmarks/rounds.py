"""Rounds: children that take turns, so that a machine that changes is the same for all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results

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


def main(
    section: str,
    *,
    module: str,
    doc: str | None,
    variants: Mapping[str, Sequence[str]],
    measure: Callable[[Sequence[tuple[str, str]], int], list[Round]],
    report: Callable[[list[Round]], str],
    default: int,
) -> None:
    """Measure as the command line says, print the tables and write the section.

    Args:
        section: its name.
        module: name of the module that is run.
        doc: what is measured.
        variants: the variants of each case.
        measure: runs children, in an order and so many rounds.
        report: lays out what they printed.
        default: how many rounds there are where nobody says.
    """
    parser = argparse.ArgumentParser(prog=module, description=doc)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=default, help=f"rounds (default {default})")
    parser.add_argument("--case", nargs="+", choices=variants, help="only these; writes no section")
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="file of the section")
    options = parser.parse_args()
    cases = options.case or tuple(variants)
    order = [(case, variant) for case in cases for variant in variants[case]]
    text = report(measure(order, options.rounds))
    print(text)
    if not options.case:
        results.write(section, text, options.results)
