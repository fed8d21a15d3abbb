"""A program that records a few units each time that it is sent a line."""

from __future__ import annotations

import sys
from pathlib import Path

from producing import Said, unit

said = Said(Path(sys.argv[1]))
step = 0
while True:
    for one in range(3):
        unit(said, f"{step}-{one}")
    said.say("done", "")
    step += 1
    if not sys.stdin.readline():
        break
