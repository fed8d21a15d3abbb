"""The tables of the export benchmark, from what its children printed; medians over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks import results
from benchmarks.rounds import Round

_COST = (
    "CPU of the producing process from the end of a span or log record, or the begin of a "
    "collection, to the receiver's acknowledgement, divided by what OpenTelemetry's exporters by "
    "HTTP take in the same round behind the SDK's batch processor, both as they are by default "
    "(ours compresses, the stock ones do not). Spans have two events; of 15 attributes four are "
    "new with each span, of 40 nine. Microseconds of CPU an item in the last columns; of metrics, "
    "a series."
)
_JOURNAL = (
    "Appending a record of 700 bytes: a mapped segment against a file that is written to, and the "
    "whole journal, out of which records are read in batches. Microseconds."
)


@dataclass(frozen=True)
class Cost:
    """A case that is compared with the stock exporter.

    Attributes:
        title: what it exports.
        case: its name.
        bar: what ours may take of what stock takes, where there is a bar.
        items: items of what a child measured as one.
    """

    title: str
    case: str
    bar: float | None = None
    items: int = 1


COSTS = (
    Cost("span, no attributes", "spans 0"),
    Cost("span, 15 attributes", "spans 15", 1 / 4),
    Cost("span, 40 attributes", "spans 40"),
    Cost("span, 15 attributes that never come again", "spans 15 new"),
    Cost("log record, 5 attributes", "logs"),
    Cost("metrics, 1,000 series", "metrics 1k", 1 / 3, 1_000),
    Cost("metrics, 10,000 series", "metrics 10k", 1 / 3, 10_000),
)


def _each(rounds: Sequence[Round], case: str, variant: str, measured: str) -> list[float]:
    """Return a figure of the item of a variant, for each round."""
    return [one[case, variant]["item"][measured] for one in rounds]


def costs(rounds: Sequence[Round]) -> str:
    """Lay out CPU as ratios to that of the stock exporters."""
    rows = []
    for cost in COSTS:
        if (cost.case, "ours") not in rounds[0]:
            continue
        by = {
            variant: [us / cost.items for us in _each(rounds, cost.case, variant, "us")]
            for variant in ("stock", "ours", "ours-sdk")
        }
        each = [mine / stock for mine, stock in zip(by["ours"], by["stock"], strict=True)]
        behind = [mine / stock for mine, stock in zip(by["ours-sdk"], by["stock"], strict=True)]
        ratio = statistics.median(each)
        rows.append(
            (
                cost.title,
                results.fraction(ratio),
                results.middle_half(each),
                "" if cost.bar is None else f"{cost.bar:.2f}",
                "" if cost.bar is None else "met" if ratio <= cost.bar else "missed",
                results.fraction(statistics.median(behind)),
                *(f"{statistics.median(by[v]):.1f}" for v in ("stock", "ours", "ours-sdk")),
            )
        )
    head = ("item", "ours / stock", "middle half", "bar", "", "under the SDK / stock")
    return results.table((*head, "stock", "ours", "under the SDK"), rows)


def journal(rounds: Sequence[Round]) -> str:
    """Lay out what appending to the journal takes."""
    rows = []
    for title, variant, threads in (
        ("mapped, 1 thread", "mapped", "1 thread"),
        ("write(2), 1 thread", "written", "1 thread"),
        ("mapped, 4 threads", "mapped", "4 threads"),
        ("write(2), 4 threads", "written", "4 threads"),
        ("whole journal, written and read", "whole", "1 thread"),
    ):
        cpu, wall = (
            statistics.median(one["journal", variant][threads][of] for one in rounds)
            for of in ("us", "wall_us")
        )
        rows.append((title, f"{cpu:.2f}", f"{wall:.2f}"))
    return results.table(("record", "CPU", "time"), rows)


def _compression(rounds: Sequence[Round]) -> str:
    us = {v: statistics.median(_each(rounds, "spans 15", v, "us")) for v in ("ours", "ours-zstd")}
    sizes = {
        variant: statistics.median(
            one["spans 15", variant]["received"]["bytes"]
            / one["spans 15", variant]["received"]["records"]
            for one in rounds
        )
        for variant in ("stock", "ours", "ours-zstd")
    }
    return (
        f"A span of 15 attributes is {sizes['ours']:.0f} bytes on the wire, from the stock "
        f"exporter {sizes['stock']:.0f}; with `OTEL_EXPORTER_OTLP_COMPRESSION=zstd` "
        f"{sizes['ours-zstd']:.0f}, at {us['ours-zstd']:.1f} µs instead of {us['ours']:.1f}."
    )


def _collector(rounds: Sequence[Round]) -> str:
    per_s = {
        variant: 1e6 / statistics.median(_each(rounds, "collector", variant, "wall_us"))
        for variant in ("stock", "ours")
    }
    return (
        "To a Collector on the same machine one process ends, and has acknowledged, "
        f"{per_s['ours']:,.0f} spans of 15 attributes a second; {per_s['stock']:,.0f} with the "
        "stock exporter."
    )


def _memory(rounds: Sequence[Round]) -> str:
    def most(case: str, variant: str) -> float:
        megabytes: list[float] = [one[case, variant]["megabytes"] for one in rounds]
        return statistics.median(megabytes)

    arrived = {
        variant: statistics.median(
            one["memory", variant]["received"]["records"] / one["memory", variant]["made"]
            for one in rounds
        )
        for variant in ("stock", "ours")
    }
    there, alone = "memory", "memory, nobody there"
    made = rounds[0]["memory", "ours"]["made"]
    return (
        f"A burst of {made:,} spans adds {most(there, 'ours'):.0f} MB at the most to the "
        f"resident memory of the process (mapped segments among them), and "
        f"{arrived['ours']:.0%} arrive; with the stock exporter {most(there, 'stock'):.0f} MB, "
        f"and {arrived['stock']:.0%}. Where nobody takes them, {most(alone, 'ours'):.0f} and "
        f"{most(alone, 'stock'):.0f} MB."
    )


def _backlog(rounds: Sequence[Round]) -> str:
    of = [one["backlog", "ours"] for one in rounds]
    wall, cpu = (statistics.median(one["item"][name] for one in of) for name in ("wall_us", "us"))
    return (
        f"A backlog of {of[0]['made']:,} spans that a dead process has left is sent at "
        f"{1e6 / wall:,.0f} spans a second, {cpu:.1f} µs of CPU each, with "
        f"{statistics.median(one['megabytes'] for one in of):.0f} MB more than before."
    )


def lost(rounds: Sequence[Round]) -> list[str]:
    """Name the variants of which not everything arrived: their CPU is too low."""
    said = []
    for case, variant in rounds[0]:
        measured = [one[case, variant] for one in rounds]
        if case == "memory" or "received" not in measured[0] or "made" not in measured[0]:
            continue
        least = min(one["received"]["records"] / one["made"] for one in measured)
        if least < 1:
            said.append(f"{case}, {variant}: {least:.1%} arrived.")
    return said


_SAID: dict[tuple[str, str], Callable[[Sequence[Round]], str]] = {
    ("spans 15", "ours-zstd"): _compression,
    ("collector", "ours"): _collector,
    ("memory", "ours"): _memory,
    ("backlog", "ours"): _backlog,
}


def report(rounds: Sequence[Round]) -> str:
    """Write the section: what each table means, and the tables."""
    parts = [
        "## export",
        f"What sending costs, medians of {len(rounds)} rounds, each variant in a process of its "
        "own and the receiver in another. " + results.measured_on(results.versions()),
    ]
    if any((cost.case, "ours") in rounds[0] for cost in COSTS):
        parts += [_COST, costs(rounds)]
    parts += [said(rounds) for ran, said in _SAID.items() if ran in rounds[0]]
    if ("journal", "whole") in rounds[0]:
        parts += [_JOURNAL, journal(rounds)]
    parts += [f"Not all has arrived, so that a CPU is too low. {text}" for text in lost(rounds)]
    return "\n\n".join(part for part in parts if part)
