"""A program that forks children again and again, in the middle of an operation of its own.

``forking.py LIST CHILDREN``.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from pathlib import Path

from producing import Said, unit

# What each child would import for itself.
import otel_dify.pipeline  # noqa: F401
from otel_dify import table as t
from otel_dify.operations.current import start

# Python's, about any process that has a thread.
warnings.simplefilter("ignore", DeprecationWarning)
AT_ONCE = 6
said = Said(Path(sys.argv[1]))
chance = random.Random(9)  # noqa: S311 - chooses ends
children: set[int] = set()


def child(number: int) -> None:
    """Record some units, and end in one of four ways."""
    for one in range(5):
        unit(said, f"{number}-{one}")
    end = chance.choice(["exit", "at once", "killed", "grandchild"])
    if end == "at once":
        os._exit(0)
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "grandchild":
        grandchild = os.fork()
        unit(said, f"{number}-{'parent' if grandchild else 'grandchild'}")
        if grandchild:
            os.waitpid(grandchild, 0)
    sys.exit(0)


for number in range(int(sys.argv[2])):
    run = start(t.RUN, {t.APP_NAME: "app", t.RUN_ID: f"parent {number}"})
    try:
        with run.active():
            chance.random()
            pid = os.fork()
            if pid == 0:
                child(number)
            children.add(pid)
    finally:
        run.end()
    said.say("ended", f"{run.span_context.span_id:016x}")
    while len(children) >= AT_ONCE:
        ended, _ = os.wait()
        children.discard(ended)
while children:
    ended, _ = os.wait()
    children.discard(ended)
