"""Where a run's CPU goes, by part of the flow: a sampling profile of api and worker under load.

py-spy looks 200 times a second at the thread that holds the interpreter's lock, in all processes of
api and worker, while apps run: under gevent it cannot tell otherwise which threads wait. A sample
counts for the part that its stack belongs to (``benchmarks.attribution``). py-spy stops a process
for each look, which makes runs slower, and sees no system call that releases the lock: only the
shares mean something. What telemetry makes Dify's own code and the interpreter do more (larger
heaps, colder caches) counts for Dify.

    python -m benchmarks.ledger [ours builtin] [-n 100] [-c 2] [--app wf_full] [--summarise]
        [--results FILE]
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import results
from benchmarks.attribution import DIFY, part_of, read_raw
from benchmarks.rig import PARTS, Rig

NAMES = ("ours", "builtin")
RATE = 200
"""Looks a second."""
START_S, TRAILING_S, STOP_S = 3, 6, 120


@contextmanager
def profiled(rig: Rig, name: str) -> Iterator[None]:
    """Profile api and worker while the block runs; the stacks go to files in the run folder.

    Raises:
        RuntimeError: py-spy has failed, or has written nothing.
    """
    spies = []
    for part in PARTS:
        file = stacks_file(rig, name, part)
        file.unlink(missing_ok=True)
        command = [
            *(str(Path(sys.executable).parent / "py-spy"), "record", "--pid", str(rig.pid(part))),
            *(
                "--subprocesses",
                "--format",
                "raw",
                "--rate",
                str(RATE),
                "--full-filenames",
                "--gil",
            ),
        ]
        log = file.with_suffix(".log").open("wb")
        with log:
            spies.append(
                subprocess.Popen([*command, "--output", str(file)], stdout=log, stderr=log)
            )
    time.sleep(START_S)
    try:
        yield
    finally:
        for spy in spies:
            spy.send_signal(signal.SIGINT)  # it then writes what it has
        for spy in spies:
            spy.wait(STOP_S)
    for part in PARTS:
        file = stacks_file(rig, name, part)
        if not file.exists():
            raise RuntimeError(f"py-spy wrote nothing of {part}: see {file.with_suffix('.log')}")


def stacks_file(rig: Rig, name: str, part: str) -> Path:
    """Name the file of a part's stacks in a configuration."""
    return rig.run_folder / f"ledger.{name}.{part}.raw"


def profile(rig: Rig, name: str, options: argparse.Namespace) -> None:
    """Run apps in a configuration, profiled."""
    print(f"profiling {name}", file=sys.stderr, flush=True)
    rig.restart_dify(name)
    rig.drive(options.app, options.warm, options.c)
    with profiled(rig, name):
        rig.drive(options.app, options.n, options.c)
        time.sleep(TRAILING_S)
    rig.check(name)


def ledger(rig: Rig, name: str) -> Counter[str]:
    """Count the samples of a configuration by part of the flow, api and worker together."""
    counted: Counter[str] = Counter()
    for part in PARTS:
        with stacks_file(rig, name, part).open(encoding="utf-8") as lines:
            for sample in read_raw(lines):
                counted[part_of(sample.files)] += sample.count
    return counted


def table(counted: Counter[str]) -> str:
    """Lay out a ledger, the greatest part of what is added first, Dify itself last."""
    whole = counted.total()
    of_telemetry = whole - counted[DIFY]
    rows = [
        (part, f"{count / whole:.1%}", f"{count / of_telemetry:.1%}", str(count))
        for part, count in counted.most_common()
        if part != DIFY
    ]
    rows.append(("all of telemetry", f"{of_telemetry / whole:.1%}", "100.0%", str(of_telemetry)))
    rows.append((DIFY, f"{counted[DIFY] / whole:.1%}", "", str(counted[DIFY])))
    return results.table(("part", "of all CPU", "of telemetry's", "samples"), rows)


def report(rig: Rig, names: Sequence[str]) -> str:
    """Write the section: a table for each configuration."""
    known = {"Dify": rig.dify_version(), **results.versions(rig.python)}
    parts = ["## ledger", f"A sampling profile of api and worker. {results.measured_on(known)}"]
    for name in names:
        meaning = (
            f"Where the CPU goes with `{name}`: how much of it all, and how much of what telemetry "
            "takes, each part of the flow has."
        )
        parts += [meaning, table(ledger(rig, name))]
    return "\n\n".join(parts)


def main() -> None:
    """Profile or summarise, print the tables and write the section."""
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", default=list(NAMES), help="otel.NAME.env, or off")
    parser.add_argument("-n", type=int, default=100, help="runs (100)")
    parser.add_argument("-c", type=int, default=2, help="runs at a time (2)")
    parser.add_argument("--warm", type=int, default=10, help="runs before those profiled (10)")
    parser.add_argument("--app", default="wf_full", help="the app that is run (wf_full)")
    parser.add_argument(
        "--summarise", action="store_true", help="of what there is; profile nothing"
    )
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="file of the section")
    options = parser.parse_args()
    rig = Rig.from_environment()
    if not options.summarise:
        with rig.started():
            for name in options.names:
                profile(rig, name, options)
    section = report(rig, options.names)
    print(section)
    results.write("ledger", section, options.results)


if __name__ == "__main__":
    main()
