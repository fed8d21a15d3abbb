"""Units of work that a program records and says that it has recorded."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from otel_dify import table as t
from otel_dify.operations.current import start

log = logging.getLogger("program")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = False


class Said:
    """The program's own list: what it says of each operation and line, when that is done.

    Args:
        path: the file; what is written to it at once outlives the program.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, what: str, of: str) -> None:
        """Say that something is done."""
        os.write(self._file, f"{what} {of}\n".encode())


def unit(said: Said, name: str, work_s: float = 0.0) -> None:
    """Record a run, a node in it, and a line.

    Args:
        said: the program's list.
        name: of the run.
        work_s: seconds that the node waits for something, as nodes do.
    """
    run = start(t.RUN, {t.APP_NAME: "app", t.RUN_ID: name})
    said.say("begun", f"{run.span_context.span_id:016x}")
    with run.active():
        node = start(t.NODE, {t.NODE_ID: "node", t.NODE_TYPE: "llm", t.NODE_TITLE: "Answer"})
        said.say("begun", f"{node.span_context.span_id:016x}")
        log.info("line %s", name)
        said.say("line", f"line {name}")
        if work_s:
            time.sleep(work_s)
        node.end()
        said.say("ended", f"{node.span_context.span_id:016x}")
    run.end()
    said.say("ended", f"{run.span_context.span_id:016x}")
