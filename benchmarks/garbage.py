"""Full garbage collections of a rig's processes, so that they can be told apart.

CPython collects its oldest generation when a quarter as much as it holds has been added to it: in
a process of Dify half a second of CPU, once in some 75 runs. In a round of fewer runs one
configuration has such a collection and the next one has not, round after round, since both are
started alike; the difference between two configurations is then that of their luck.

A ``.pth`` file in the rig's Python makes each of its processes write down what a full collection
took. It is there only while a series runs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STARTER, _PROGRAM = "dify_rig_garbage.pth", "note.py"
_SOURCE = '''\
import gc, os, time

_began = 0.0


def note(phase, info):
    """Add a line to the process's file for each full collection: its seconds of CPU."""
    global _began
    if info["generation"] < 2:
        return
    if phase == "start":
        _began = time.thread_time()
        return
    spent = time.thread_time() - _began
    with open(os.path.join({folder!r}, str(os.getpid())), "a") as out:
        out.write(f"{{spent:.6f}}\\n")


# In a virtual environment Python reads a `.pth` file twice.
if not any(getattr(one, "__name__", "") == note.__name__ for one in gc.callbacks):
    gc.callbacks.append(note)
'''


@dataclass(frozen=True)
class Collections:
    """Full collections of some processes so far.

    Attributes:
        number: how many.
        cpu_s: what they took, in seconds of CPU.
    """

    number: int = 0
    cpu_s: float = 0.0


@contextmanager
def written_down(python: Path, folder: Path) -> Iterator[None]:
    """Have each process that this Python starts write its full collections into a folder."""
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", asked], check=True, stdout=subprocess.PIPE, text=True)
    site = Path(done.stdout.strip())
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():  # of a series before: numbers of processes come again
        old.unlink()
    program = folder / _PROGRAM
    program.write_text(_SOURCE.format(folder=str(folder)), encoding="utf-8")
    starter = site / _STARTER
    try:
        # Python runs the lines of such a file that begin with `import`.
        starter.write_text(f"import os; exec(open({str(program)!r}).read(), {{}})\n", "utf-8")
        yield
    finally:
        starter.unlink(missing_ok=True)


def collections(folder: Path, pids: Iterable[int]) -> Collections:
    """Return the full collections that some processes have written into a folder so far."""
    spent = [
        float(line)
        for pid in pids
        if (file := folder / str(pid)).exists()
        for line in file.read_text(encoding="ascii").splitlines()
    ]
    return Collections(len(spent), sum(spent))
