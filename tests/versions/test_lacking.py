"""A graphon that lacks something that is hooked: the run is the same, and the rest is seen."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.versions.graphs import FRAMES
from tests.versions.test_guards import detached, everything, outcome

# In a process of its own, since hooks are made when graphon is imported: there a function is
# hidden from what looks for it, and from nobody else.
PROGRAM = """
import json, logging, sys
from collections import Counter
from otel_dify import guard
from otel_dify.sources import hooks

known = hooks.has
hooks.has = lambda module, function: function != sys.argv[1] and known(module, function)
logging.basicConfig(format="%(name)s %(message)s")
from tests.recording import recording
from tests.versions.test_guards import everything, outcome

with recording() as recorded:
    seen = outcome(everything())
names = Counter(span.name.split(" ")[0] for span in recorded.spans)
print(json.dumps([seen, names, guard.caught().total()]))
"""
_ENGINE = "Engine.__init__" if FRAMES else "GraphEngine.__init__"
CASES = [
    (_ENGINE, {"chat": 3, "execute_tool": 1}),
    ("Node.run", {"invoke_workflow": 1, "iteration": 2, "loop": 2, "chat": 3, "execute_tool": 1}),
    ("LargeLanguageModel.invoke", {"invoke_workflow": 1, "llm": 1, "chat": 0, "execute_tool": 1}),
    ("ToolNode.__init__", {"invoke_workflow": 1, "llm": 1, "chat": 3, "execute_tool": 0}),
]


@pytest.mark.parametrize(("lacking", "expected"), CASES, ids=[name for name, _ in CASES])
def test_what_is_not_there_is_named_and_the_rest_is_seen(
    lacking: str, expected: dict[str, int]
) -> None:
    with detached():
        alone = outcome(everything())

    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, lacking], capture_output=True, text=True, check=True
    )

    seen, names, failures = json.loads(told.stdout)
    assert seen == json.loads(json.dumps(alone))
    assert failures == 0
    assert {name: names.get(name, 0) for name in expected} == expected
    [line] = [line for line in told.stderr.splitlines() if line.startswith("otel_dify")]
    assert f".{lacking} is not there in this version of graphon: " in line
