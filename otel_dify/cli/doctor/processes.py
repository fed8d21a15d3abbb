"""Processes of Dify that run here: whether each was started with otel_dify, and records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem, warning
from otel_dify.resource import SLOT
from otel_dify.settings import ENDPOINT, JOURNAL_DIR, SDK_DISABLED
from otel_dify.startup import program_of, role_of

_INJECTED = "opentelemetry/instrumentation/auto_instrumentation"
_ROLES = frozenset({"api", "worker", "beat"})
_COMPARED = (ENDPOINT.name, JOURNAL_DIR.name, SDK_DISABLED.name)


@dataclass(frozen=True, slots=True)
class Running:
    """A process of Dify.

    Attributes:
        pid: its number.
        parent: that of the process that made it.
        role: ``api``, ``worker`` or ``beat``.
        environ: what it was started with; none where we may not read it.
        recording: whether it holds a slot, which it takes when it begins to record.
    """

    pid: int
    parent: int
    role: str
    environ: dict[str, str] | None
    recording: bool

    @property
    def injected(self) -> bool:
        """Whether it was started by ``opentelemetry-instrument``, or by the operator's sidecar."""
        return _INJECTED in (self.environ or {}).get("PYTHONPATH", "")


def check(examined: Examined) -> Iterator[Finding]:
    """Look at each process of Dify and at those that it has made."""
    found = {running.pid: running for running in _running(examined.proc)}
    first = [running for running in found.values() if running.parent not in found]
    if not first:
        yield note(
            "processes",
            "No process of Dify runs here, where it could be looked at",
            "Run this in the container or on the machine that Dify runs in, while it runs",
        )
    for running in first:
        made = [other for other in found.values() if other.parent == running.pid]
        yield from _one(running, [running, *made], examined)


def _one(running: Running, family: list[Running], examined: Examined) -> Iterator[Finding]:
    about, who = f"processes.{running.role}", f"{running.role} (pid {running.pid})"
    recording = sum(member.recording for member in family)
    if running.environ is None:
        yield note(
            about,
            f"{who} belongs to another user, and its environment cannot be read",
            "Run this as the user that Dify runs as, or as root",
        )
        return
    if running.environ.get(SDK_DISABLED.name, "").lower() == "true":
        yield problem(
            about,
            f"{who} was started with {SDK_DISABLED.name}=true, and records nothing",
            f"Take {SDK_DISABLED.name} away and restart it",
        )
    elif recording:
        of = f" in {recording} of its {len(family)} processes" if len(family) > 1 else ""
        yield ok(about, f"{who} records{of}")
    elif running.injected:
        yield note(
            about,
            f"{who} was started with otel_dify and has recorded nothing yet",
            "It begins with the first request or task: run an app, and run this again",
        )
    else:
        yield problem(
            about,
            f"{who} was started without otel_dify, and records nothing",
            "Start it by `otel-dify run -- …` or opentelemetry-instrument, or by the compose "
            "overlay; from code, otel_dify.configure() does the same",
        )
    yield from _another_environment(running, who, examined)


def _another_environment(running: Running, who: str, examined: Examined) -> Iterator[Finding]:
    """Tell where its settings are not those that are examined here."""
    its = running.environ or {}
    differing = [name for name in _COMPARED if its.get(name, "").strip() != examined.has(name)]
    if differing:
        yield warning(
            f"processes.{running.role}.environment",
            f"{who} has another {' and '.join(differing)} than this command: what is said below "
            "is not about it",
            f"Run this with its environment: otel-dify doctor --pid {running.pid}",
        )


def _running(proc: Path) -> Iterator[Running]:
    for folder in sorted(proc.glob("[0-9]*")):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            role = role_of(program_of(command))
            if role not in _ROLES or not _is_difys(folder):
                continue
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):  # it has ended, or is another user's
            continue
        environ = environment_of(folder)
        yield Running(int(folder.name), parent, role, environ, _holds_slot(folder))


def _is_difys(folder: Path) -> bool:
    """Tell whether a process works in a folder of Dify's code."""
    return (folder / "cwd" / "dify_app.py").is_file()


def environment_of(folder: Path) -> dict[str, str] | None:
    """Return what a process was started with; none where we may not read it.

    Args:
        folder: its folder among the kernel's files.
    """
    try:
        text = (folder / "environ").read_bytes().decode(errors="surrogateescape")
    except OSError:
        return None
    pairs = (pair.partition("=") for pair in text.split("\0") if pair)
    return {name: value for name, _, value in pairs}


def _holds_slot(folder: Path) -> bool:
    """Tell whether a process has one of our slots open, as long as it records."""
    try:
        opened = [link.readlink().name for link in (folder / "fd").iterdir()]
    except OSError:  # another user's, or one of its files was closed meanwhile
        return False
    return any(name.endswith(SLOT) for name in opened)
