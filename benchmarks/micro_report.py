"""The tables of the micro benchmark, from what its children printed.

What a variant adds is its CPU less that of ``bare`` in the same round, in microseconds an item.
Medians over the rounds are shown; the middle half says between which values half of the rounds
lie.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import results
from benchmarks.graphs import LONG, SHORT
from benchmarks.rounds import Round

_AGAINST_STOCK = (
    "What ours adds to a call, divided by what OpenTelemetry's own instrumentation adds to the "
    "same call: below 1 ours is the cheaper one. The last three columns are microseconds of CPU."
)
_ALONE = (
    "What ours adds to the engine with all three signals on, batched and discarded, and to an "
    "observed function while telemetry is off: microseconds of CPU."
)
_LOST = 0.99
"""Items of one that an exporter has to have got at least."""


@dataclass(frozen=True)
class Rivals:
    """A part of ours and the stock part that does the same.

    Attributes:
        title: what is compared.
        case: which case measures it.
        measure: which number of the case.
        suffix: of both variants.
        bar: what ours may add of what the stock part adds.
        unit: of what the exporters have to get from the stock part, one an item.
    """

    title: str
    case: str
    measure: str
    suffix: str
    bar: float
    unit: str = ""


RIVALS = (
    Rivals("SQL query, exporters off", "sql", "query", "", 1 / 5),
    Rivals("SQL query, batched and discarded", "sql", "query", "-discard", 1 / 5, "spans"),
    Rivals("Redis GET, client alone, exporters off", "redis stub", "GET", "", 1 / 5),
    Rivals("Redis GET, client alone, batched", "redis stub", "GET", "-discard", 1 / 5, "spans"),
    Rivals("Redis GET, real server, exporters off", "redis", "GET", "", 1 / 5),
    Rivals("Redis GET, real server, batched", "redis", "GET", "-discard", 1 / 5, "spans"),
    Rivals("log record, batched and discarded", "log", "record", "-discard", 1.0, "logs"),
    Rivals("log record beside content", "log", "record beside content", "-discard", 1.0, "logs"),
)


def added(rounds: Sequence[Round], case: str, variant: str, measured: str) -> list[float]:
    """Tell what a variant adds to the bare one, in microseconds an item, for each round."""
    return [
        one[case, variant][measured]["us"] - one[case, "bare"][measured]["us"] for one in rounds
    ]


def against_stock(rounds: Sequence[Round]) -> str:
    """Lay out what ours adds as ratios to what the stock parts add."""
    rows = []
    for rivals in RIVALS:
        stock, ours = f"stock{rivals.suffix}", f"ours{rivals.suffix}"
        if (rivals.case, ours) not in rounds[0]:
            continue
        by_stock = added(rounds, rivals.case, stock, rivals.measure)
        by_ours = added(rounds, rivals.case, ours, rivals.measure)
        each = [mine / theirs for mine, theirs in zip(by_ours, by_stock, strict=True)]
        ratio = statistics.median(each)
        bare = statistics.median(one[rivals.case, "bare"][rivals.measure]["us"] for one in rounds)
        rows.append(
            (
                rivals.title,
                results.fraction(ratio),
                results.middle_half(each),
                f"{rivals.bar:.2f}",
                "met" if ratio <= rivals.bar else "missed",
                f"{statistics.median(by_ours):.1f}",
                f"{statistics.median(by_stock):.1f}",
                f"{bare:.1f}",
            )
        )
    head = ("part", "ours / stock", "middle half", "bar", "", "ours adds", "stock adds", "bare")
    return results.table(head, rows)


def engine_parts(rounds: Sequence[Round]) -> dict[str, list[float]]:
    """Tell what ours adds to a node, an item and a run of the engine, for each round.

    The two lengths of a graph differ in its nodes, or items, alone. A node inside an item costs
    what a node of the chain does; it is subtracted. Microseconds of CPU.
    """
    by_graph = {
        name: added(rounds, "engine", "ours-discard", name)
        for name in ("short chain", "long chain", "short iteration", "long iteration")
    }
    nodes = [
        (long - short) / (LONG - SHORT)
        for short, long in zip(by_graph["short chain"], by_graph["long chain"], strict=True)
    ]
    items = [
        (long - short) / (LONG - SHORT) - node
        for short, long, node in zip(
            by_graph["short iteration"], by_graph["long iteration"], nodes, strict=True
        )
    ]
    # Start and end are nodes as well.
    runs = [
        short - (SHORT + 2) * node
        for short, node in zip(by_graph["short chain"], nodes, strict=True)
    ]
    return {"node": nodes, "item": items, "run": runs}


def alone(rounds: Sequence[Round]) -> str:
    """Lay out what ours adds where there is no stock part to hold it against."""
    rows = []
    if ("engine", "ours-discard") in rounds[0]:
        parts = engine_parts(rounds)
        bare = statistics.median(one["engine", "bare"]["long chain"]["us"] for one in rounds)
        for title, values, bar, goal in (
            ("node execution: span, points, event", parts["node"], 200.0, 150.0),
            ("iteration item, without its node", parts["item"], 60.0, None),
            ("run, without its nodes", parts["run"], None, None),
        ):
            value = statistics.median(values)
            verdict = "" if bar is None else "met" if value <= bar else "missed"
            rows.append(
                (
                    title,
                    f"{value:.0f}",
                    results.middle_half(values, 0),
                    "" if bar is None else f"{bar:.0f}" + (f", goal {goal:.0f}" if goal else ""),
                    verdict,
                    f"{bare / (LONG + 2):.0f} a node" if title.startswith("node") else "",
                )
            )
    if ("observe", "ours") in rounds[0]:
        values = added(rounds, "observe", "ours", "call")
        bare = statistics.median(one["observe", "bare"]["call"]["us"] for one in rounds)
        rows.append(
            (
                "call of an observed function, telemetry off",
                f"{statistics.median(values):.2f}",
                results.middle_half(values),
                "",
                "",
                f"{bare:.2f}",
            )
        )
    return results.table(("part", "ours adds", "middle half", "bar", "", "bare"), rows)


def lost(rounds: Sequence[Round]) -> list[str]:
    """Name the variants of which the exporters did not get every item: their CPU is too low."""
    said = []
    for rivals in RIVALS:
        # Ours makes no span of a query: there is nothing to miss.
        for variant in ("stock", "ours") if rivals.unit == "logs" else ("stock",):
            ran = (rivals.case, variant + rivals.suffix)
            if not rivals.unit or ran not in rounds[0]:
                continue
            least = min(
                one[ran][rivals.measure]["exported"].get(rivals.unit, 0.0) for one in rounds
            )
            if least < _LOST:
                said.append(f"{rivals.title}: {least:.2f} {rivals.unit} an item from {variant}.")
    return said


def report(rounds: Sequence[Round]) -> str:
    """Write the section: what each table means, and the tables."""
    parts = [
        "## micro",
        f"CPU of single parts, medians of {len(rounds)} rounds, each variant in a process of its "
        "own. " + results.measured_on(results.versions()),
    ]
    if any((rivals.case, "bare") in rounds[0] for rivals in RIVALS):
        parts += [
            _AGAINST_STOCK,
            against_stock(rounds),
        ]
    if any((case, "bare") in rounds[0] for case in ("engine", "observe")):
        parts += [
            _ALONE,
            alone(rounds),
        ]
    parts += [f"Not all was exported, so that a CPU is too low. {text}" for text in lost(rounds)]
    return "\n\n".join(parts)
