"""What telemetry costs a real Dify: pairs of runs with and without, part of ``make bench-dify``.

A round starts Dify in each configuration, one after the other, and every other round goes
backwards, so that a machine that gets slower or faster is the same for all. The first one is what
the others are held against. All three signals are on, by our own export with its journal, or as the
built-in telemetry sends them, to a Collector whose CPU is not counted; content is off. CPU is that
of all processes of api and worker, user and system, over the runs and the 6 seconds after them in
which the last is exported. It is told with and without CPython's full garbage collections, which
are rare and large (``benchmarks.garbage``).

    python -m benchmarks.dify [off ours builtin] [-n 50] [-c 2] [--pairs 12] [--app wf_full]
        [--resume | --summarise] [--results FILE]

About a minute for each configuration and round; nothing else may run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import intervals, results
from benchmarks.rig import OFF, PARTS, Rig

NAMES = (OFF, "ours", "builtin")
BUILT_IN = "builtin"
SETTLE_S, TRAILING_S = 2, 6
FILE = "bench-dify.jsonl"

type Line = dict[str, Any]
"""One configuration in one round: ``cpu_ms``, ``steady_ms`` (the same without full collections) and
``latency_ms`` a run, and what else is known."""


def measure(rig: Rig, name: str, options: argparse.Namespace) -> Line:
    """Start Dify in a configuration and measure its runs."""
    rig.restart_dify(name)
    rig.drive(options.app, options.warm, options.c)
    time.sleep(SETTLE_S)
    before = [rig.usage(part) for part in PARTS]
    driven = rig.drive(options.app, options.n, options.c)
    time.sleep(TRAILING_S)
    after = [rig.usage(part) for part in PARTS]
    spent = sum(b.cpu_s - a.cpu_s for a, b in zip(before, after, strict=True))
    garbage = [(b.garbage, a.garbage) for a, b in zip(before, after, strict=True)]
    collecting = sum(late.cpu_s - early.cpu_s for late, early in garbage)
    return {
        "name": name,
        "cpu_ms": round(spent * 1000 / options.n, 2),
        "steady_ms": round((spent - collecting) * 1000 / options.n, 2),
        "full_collections": sum(late.number - early.number for late, early in garbage),
        "latency_ms": round(driven["mean"] * 1000, 2),
        "p95_ms": round(driven["p95"] * 1000, 2),
        "memory_mib": round(sum(usage.memory_mib for usage in after)),
        "failed": options.n - driven["ok"],
        "received": rig.check(name),
    }


def run(rig: Rig, file: Path, options: argparse.Namespace) -> None:
    """Measure what is missing of a series, and append each line to the file at once."""
    done = list(rounds(file)) if options.resume else []
    series = done[-1][0]["series"] if done else datetime.now(UTC).isoformat(timespec="seconds")
    if done:
        for key in ("names", "app", "n", "c"):
            setattr(options, key, done[-1][0][key])
    asked = {key: getattr(options, key) for key in ("names", "app", "n", "c")}
    with rig.started():
        for number in range(len(done), options.pairs):
            for name in options.names if number % 2 == 0 else reversed(options.names):
                _say(f"round {number + 1} of {options.pairs}: {name}")
                line = measure(rig, name, options)
                _append(file, {"series": series, "round": number, **asked, **line})
                _say(json.dumps(line))


def _append(file: Path, line: Line) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def rounds(file: Path) -> Iterator[list[Line]]:
    """Read the complete rounds of the last series in a file, each in the order of its names.

    Of a configuration that was measured twice in a round (an interrupted one, resumed) the later
    line counts.
    """
    if not file.exists():
        return
    lines = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
    last = [line for line in lines if line["series"] == lines[-1]["series"]]
    by_round: dict[int, dict[str, Line]] = {}
    for line in last:
        by_round.setdefault(line["round"], {})[line["name"]] = line
    for _, found in sorted(by_round.items()):
        if all(name in found for name in last[0]["names"]):
            yield [found[name] for name in last[0]["names"]]


def differences(done: Sequence[list[Line]], column: int, key: str) -> list[float]:
    """Return what a configuration has more of something than the first one, for each round."""
    return [line[column][key] - line[0][key] for line in done]


def report(done: Sequence[list[Line]], known: dict[str, str]) -> str:
    """Write the section: what the table means, the ratios, and the table."""
    first = done[0][0]
    names: list[str] = first["names"]
    rows = []
    for column, name in enumerate(names):
        cells = [name]
        for key in ("steady_ms", "cpu_ms", "latency_ms"):
            base = statistics.mean(one[0][key] for one in done)
            if column == 0:
                cells += ["", f"{base:.0f} in all"]
                continue
            more = intervals.mean(differences(done, column, key))
            cells += [(more / base * 100).text("+.1f"), more.text("+.1f")]
        memory = statistics.mean(one[column]["memory_mib"] for one in done)
        failed = sum(one[column]["failed"] for one in done)
        rows.append((*cells, f"{memory:.0f}", str(failed)))
    head = (
        *("configuration", "CPU, steady, %", "CPU, steady, ms", "CPU, %", "CPU, ms"),
        *("latency, %", "latency, ms", "MiB", "failed"),
    )
    what = (
        f"Runs of `{first['app']}` on a real Dify, {len(done)} pairs of {first['n']} runs, "
        f"{first['c']} at a time. {results.measured_on(known)}"
    )
    meaning = (
        f"What a configuration adds to a run, against the same run with `{names[0]}`: the mean of "
        "the paired differences, and in brackets its 95 % interval (Student's t; Fieller's "
        'theorem for ratios). "Steady" is without full garbage collections: '
        f"{_collections(done, names)}."
    )
    ratios = _against_built_in(done, names)
    return "\n\n".join(["## dify", what, *ratios, meaning, results.table(head, rows)])


def _collections(done: Sequence[list[Line]], names: Sequence[str]) -> str:
    """Say how many full collections each configuration had, and what they took of a run."""
    runs = len(done) * done[0][0]["n"]
    told = []
    for column, name in enumerate(names):
        number = sum(one[column]["full_collections"] for one in done)
        spent = statistics.mean(one[column]["cpu_ms"] - one[column]["steady_ms"] for one in done)
        told.append(f"`{name}` had {number} in its {runs} runs, {spent:.1f} ms a run")
    return "; ".join(told)


def _against_built_in(done: Sequence[list[Line]], names: Sequence[str]) -> Iterator[str]:
    """Say what each configuration adds of the CPU that Dify's own telemetry adds."""
    if BUILT_IN not in names[1:]:
        return
    for column, name in enumerate(names[1:], start=1):
        if name == BUILT_IN:
            continue
        found = []
        for key in ("steady_ms", "cpu_ms"):
            below = differences(done, names.index(BUILT_IN), key)
            ratio = intervals.ratio(differences(done, column, key), below)
            found.append(ratio.text(".2f") if ratio else "unknown, what the latter adds may be 0")
        yield (
            f"**CPU that `{name}` adds / CPU that Dify's own telemetry adds: {found[0]}**; with "
            f"full garbage collections, rare and large, {found[1]}."
        )


def main() -> None:
    """Measure or summarise, print the table and write the section."""
    parser = argparse.ArgumentParser(prog="benchmarks.dify", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", default=list(NAMES), help="otel.NAME.env, or off")
    parser.add_argument("-n", type=int, default=50, help="runs a round (50)")
    parser.add_argument("-c", type=int, default=2, help="runs at a time (2)")
    parser.add_argument("--pairs", type=int, default=12, help="rounds (12)")
    parser.add_argument("--warm", type=int, default=10, help="runs before those measured (10)")
    parser.add_argument("--app", default="wf_full", help="the app that is run (wf_full)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--resume", action="store_true", help="go on with the last series")
    what.add_argument("--summarise", action="store_true", help="of what there is; measure nothing")
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="file of the section")
    options = parser.parse_args()
    rig = Rig.from_environment()
    file = rig.run_folder / FILE
    if not options.summarise:
        run(rig, file, options)
    done = list(rounds(file))
    if len(done) < 2:  # noqa: PLR2004 - one pair has no interval
        sys.exit(f"{len(done)} complete rounds: two are needed for an interval.")
    section = report(done, {"Dify": rig.dify_version(), **results.versions(rig.python)})
    print(section)
    results.write("dify", section, options.results)


if __name__ == "__main__":
    main()
