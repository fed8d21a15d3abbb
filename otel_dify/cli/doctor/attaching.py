"""What attaches to this Dify and what does not, and why: the sources are tried on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem, warning
from otel_dify.cli.doctor.names import disabled
from otel_dify.settings import SDK_DISABLED
from otel_dify.sources.registry import DISABLED

_LOADING = "otel_dify.cli.doctor.loading"
_PATIENCE_S = 180
"""Seconds that importing Dify may take; it takes ten to twenty."""
_REPORT = (
    "Report it to the project with this line; until then that is not seen, and all else is recorded"
)


def check(examined: Examined) -> Iterator[Finding]:
    """Load every source in a process of its own, and tell how each fared."""
    try:
        found = _load(examined)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        yield problem(
            "sources",
            f"The sources cannot be tried on what is installed here: {_reason(error)}",
            "Run this with the Python of Dify, in the folder of its api; see whether "
            "`python -c 'import app_factory'` works there",
        )
        return
    off = _off(examined)
    by_name: dict[str, list[dict[str, Any]]] = {}
    for fared in found:
        by_name.setdefault(fared["name"], []).append(fared)
    for name, of_name in by_name.items():
        if examined.dify is not None or any(fared["attached"] for fared in of_name):
            yield from _told(name, of_name, off(name))
    if examined.dify is None:
        yield note(
            "sources.dify",
            "Dify's code is not here: only what is installed of its engine and libraries was tried",
            "Run this where Dify runs, to see what attaches to this version of it",
        )


def _off(examined: Examined) -> Callable[[str], str]:
    """Return what tells which variable switches a source off, if one does."""
    all_off = examined.settings[SDK_DISABLED]
    names = set(disabled(examined))

    def variable(name: str) -> str:
        if all_off:
            return f"{SDK_DISABLED.name}=true"
        return DISABLED if names & {name, "*"} else ""

    return variable


def _load(examined: Examined) -> list[dict[str, Any]]:
    """Run the program that loads them.

    Raises:
        OSError: it cannot be started.
        subprocess.SubprocessError: it fails, or takes too long.
        ValueError: what it wrote cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="otel_dify-doctor-") as folder:
        file = Path(folder) / "sources.json"
        subprocess.run(  # noqa: S603 - a module of ours
            [sys.executable, "-m", _LOADING, str(file)],
            cwd=examined.dify,
            env=_environment(examined),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=True,
        )
        loaded: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def _environment(examined: Examined) -> dict[str, str]:
    """Return an environment in which the program finds us, and nothing attaches to it."""
    import otel_dify

    ours = str(Path(otel_dify.__file__).parents[1])
    path = [part for part in examined.has("PYTHONPATH").split(os.pathsep) if part]
    kept = [part for part in path if not part.endswith("auto_instrumentation")]
    return {
        **examined.environ,
        "PYTHONPATH": os.pathsep.join([*kept, ours]),
        # Nothing of Dify's is written, not even compiled.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _told(name: str, of_name: list[dict[str, Any]], off: str) -> Iterator[Finding]:
    """Tell how the sources of one name fared."""
    about = f"sources.{name}"
    attached = sum(len(fared["attached"]) for fared in of_name)
    modules = f"{attached} module{'' if attached == 1 else 's'}"
    unknown = [line for fared in of_name for line in fared["unknown"]]
    absent = list(dict.fromkeys(line for fared in of_name for line in fared["absent"]))
    failed = [line for fared in of_name for line in fared["failed"]]
    if off:
        yield note(about, f"{name} is switched off by {off}", "Take it out of there to have it")
        return
    for line in failed:
        yield problem(about, f"{name} does not attach to {line}", _REPORT)
    for line in unknown:
        yield warning(about, f"{name} knows another version: {line}", _REPORT)
    if absent and not attached:
        yield _library_absent(about, name, absent)
    elif absent:
        yield note(
            about,
            f"{name} attaches to {modules}; there is no {', '.join(absent)}",
            "Nothing needs to be done if this version of Dify has no such thing; if it has it "
            "elsewhere, that is not seen: report it to the project with this line",
        )
    elif not failed and not unknown:
        yield ok(about, f"{name} attaches to {modules}")


def _library_absent(about: str, name: str, absent: list[str]) -> Finding:
    needs = " and ".join(absent[:2]) + (f" and {len(absent) - 2} more" if absent[2:] else "")
    return (problem if name.startswith("dify_") else warning)(
        about,
        f"{name} has nothing to attach to, for want of {needs}",
        "This Dify is older or newer than what otel_dify knows, or this is not the Python that it "
        "runs on: use the one in Dify's image, /app/api/.venv/bin/python",
    )


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"importing Dify took longer than {error.timeout:.0f} s"
    if isinstance(error, subprocess.CalledProcessError):
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return f"it ended with {error.returncode} ({' '.join(last)})"
    return str(error)
