"""A program that forks children, kills each at some instant, and forks others in their place.

``nursery.py FOLDER KILLS SEED``. Children record and know nothing of that.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

from producing import Said, unit

# What each child would import for itself.
import otel_dify.pipeline  # noqa: F401

# Python's, about any process that has a thread; this one has none.
warnings.simplefilter("ignore", DeprecationWarning)
folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
AT_ONCE, LONGEST_S, WORK_S = 8, 2.0, 0.02
chance = random.Random(seed)  # noqa: S311 - chooses instants
number = 0


def child() -> tuple[int, float]:
    """Fork a child; returns it, and when it is to be killed."""
    global number  # noqa: PLW0603 - a program
    number += 1
    said = Said(folder / f"{number}.list")
    ready, begins = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready)
        unit(said, f"{number}-first")
        os.close(begins)
        one = 0
        while True:
            one += 1
            unit(said, f"{number}-{one}", chance.uniform(0, WORK_S))
    os.close(begins)
    # It lives, and has begun.
    os.read(ready, 1)
    os.close(ready)
    return pid, time.monotonic() + chance.uniform(0, LONGEST_S)


living = [child() for _ in range(AT_ONCE)]
for killed in range(kills):
    living.sort(key=lambda one: one[1])
    pid, at = living.pop(0)
    # Not to wait for anything: this is the instant.
    time.sleep(max(at - time.monotonic(), 0))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if killed + AT_ONCE < kills:
        living.append(child())
