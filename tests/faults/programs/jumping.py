"""A program whose clock is set again and again, days forward and back."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

from producing import Said, unit

HOURS = 3_600 * 10**9
chance = random.Random(3)  # noqa: S311 - chooses times
said = Said(Path(sys.argv[1]))
time_ns, seconds = time.time_ns, time.time
ahead_ns = 0
time.time_ns = lambda: time_ns() + ahead_ns
time.time = lambda: seconds() + ahead_ns / 1e9
for number in range(200):
    if number % 10 == 0:
        ahead_ns = chance.randint(-1_000, 1_000) * HOURS
    unit(said, f"{number}", 0.005)
