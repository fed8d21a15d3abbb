"""A program that records a hundred operations, of which the backend refuses one."""

from __future__ import annotations

import sys
from pathlib import Path

from producing import Said

from otel_dify import table as t
from otel_dify.operations.current import start

said = Said(Path(sys.argv[1]))
for number in range(100):
    name = "bad apple" if number == 37 else f"fine {number}"
    one = start(t.RUN, {t.APP_NAME: name})
    one.end()
    said.say("refused" if name == "bad apple" else "ended", f"{one.span_context.span_id:016x}")
said.say("done", "")
sys.stdin.read()
