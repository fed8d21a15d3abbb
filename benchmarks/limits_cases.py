"""One variant of one case of the benchmark of limits: ``python -m benchmarks.limits_cases``.

Prints as JSON what it took: seconds, CPU seconds, megabytes resident at the most, less those before
it began, and the items that there were.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable

ITEMS = int(os.environ.get("BENCH_ITEMS", "10000"))
"""Items of the iteration."""
PASSES, LINES, PROMPT = 1_000, 100_000, 50_000_000
"""Passes of the loop, log lines, characters of the prompt."""


def iteration() -> int:
    """Run an iteration with a node in each item."""
    from benchmarks.graphs import iteration, run_with

    run_with(iteration(ITEMS), {"items": [f"item {number}" for number in range(ITEMS)]})
    return ITEMS


def loop() -> int:
    """Run a loop with a node in each pass."""
    from benchmarks.graphs import loop, run_with

    run_with(loop(PASSES), {"text": "some text"})
    return PASSES


def prompt() -> int:
    """Hand a text of 50 MB from node to node; it is an input and an output of each."""
    from benchmarks.graphs import chain, run_with

    nodes = 8
    run_with(chain(nodes), {"text": "word " * (PROMPT // 5)})
    return nodes


def lines() -> int:
    """Write log lines within a run."""
    from otel_dify import table as t
    from otel_dify.operations.current import start

    log = logging.getLogger("bench")
    log.setLevel(logging.INFO)
    log.addHandler(logging.NullHandler())
    log.propagate = False
    run = start(t.RUN, {t.RUN_ID: "run", t.APP_ID: "app"})
    with run.active():
        for number in range(LINES):
            log.info("row %d", number)
    run.end()
    return LINES


CASES: dict[str, Callable[[], int]] = {
    "iteration": iteration,
    "loop": loop,
    "prompt": prompt,
    "log lines": lines,
}


def _resident() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure the case that the command line names, and what is sent of it."""
    case = CASES[sys.argv[1]]
    if sys.argv[2] != "off":
        import otel_dify

        otel_dify.configure()
    # What is imported is no cost of the run.
    from benchmarks import graphs

    graphs.run_with(graphs.chain(1), {"text": "text"})
    before, began, cpu = _resident(), time.perf_counter(), time.process_time()
    items = case()
    took = time.perf_counter() - began
    if sys.argv[2] != "off":
        import otel_dify

        otel_dify.flush()
    told = {
        "items": items,
        "wall_s": took,
        "cpu_s": time.process_time() - cpu,
        "mb": _resident() - before,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
