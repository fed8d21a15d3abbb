"""A program that knows OpenTelemetry only: spans, lines, a counter, and forked children.

``plain.py LIST HOW``: ``exit`` or ``_exit`` for how children end, where there are to be some;
``wait`` until standard input is closed.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from opentelemetry import metrics, trace

# Python's, about any process that has a thread.
warnings.simplefilter("ignore", DeprecationWarning)
how = sys.argv[2]
tracer = trace.get_tracer("program")
log = logging.getLogger("program")
log.setLevel(logging.INFO)
counter = metrics.get_meter("program").create_counter("program.count")


def work(name: str) -> None:
    """Record a span, a line in it, and a point."""
    with tracer.start_as_current_span(name):
        log.info("in %s", name)
        counter.add(1)


work("before")
children = []
if how in {"exit", "_exit"}:
    for _ in range(3):
        child = os.fork()
        if child == 0:
            work("child")
            if how == "_exit":
                os._exit(0)
            sys.exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
work("parent")
Path(sys.argv[1]).write_text("done \n", encoding="utf-8")
if how == "wait":
    sys.stdin.read()
