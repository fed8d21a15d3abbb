"""The journal: whether it can be written, who may read it, whether it lasts, what waits in it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from otel_dify import settings as s
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem, warning
from otel_dify.cli.doctor.mounts import Mount, mount_of
from otel_dify.export.journal.backlog import waiting_in
from otel_dify.export.journal.place import lives

_MIB = 1 << 20
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_GONE_WITH_IT = frozenset({"tmpfs", "ramfs"})
_LAYERS = frozenset({"overlay", "aufs"})


def check(examined: Examined) -> Iterator[Finding]:
    """Look at the folder of the journals."""
    settings = examined.settings
    folder = settings.journal()
    if folder is None:
        yield warning(
            "journal.folder",
            f"{s.JOURNAL_DIR.name}=none: what is not sent yet is lost when a process is killed",
            f"Take {s.JOURNAL_DIR.name} away, or set it to a folder on a volume",
        )
        return
    yield _writable(folder)
    yield from _readable_by_others(folder, settings)
    yield from space(folder, settings)
    yield from _lasting(folder, mount_of(folder, examined.proc))
    yield from waiting(folder)


def nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _writable(folder: Path) -> Finding:
    about, there = "journal.writable", nearest(folder.absolute())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        whose = f" by user {os.getuid()}"
        return problem(
            about,
            f"{folder} cannot be written{whose}: {there} says {error.strerror}; journals are kept "
            "in memory, and lost with a process that is killed",
            f"Let the user that Dify runs as write there, or set {s.JOURNAL_DIR.name} to a folder "
            "where it may",
        )
    if there != folder.absolute():
        return ok(about, f"{folder} is not there yet, and can be made in {there}")
    return ok(about, f"{folder} can be written")


def _readable_by_others(folder: Path, settings: s.Settings) -> Iterator[Finding]:
    """Look at who may enter the folders in it; of the folder itself it does not matter."""
    about = "journal.mode"
    try:
        closed = not _mode(folder) & _OTHERS
        inside = [path for path in folder.iterdir() if path.is_dir()]
        entered = [] if closed else [path for path in inside if _mode(path) & _OTHERS]
    except OSError:  # not there yet, or another user's, which is told above
        return
    if not entered:
        if closed or inside:
            yield ok(about, "Only their owner may enter the folders of the journals")
        return
    content = settings[s.CAPTURE_CONTENT] != "no_content"
    yield (warning if content else note)(
        about,
        f"Others than its owner may enter {entered[0]} (mode {_mode(entered[0]):04o})"
        + (", where journals hold prompts and answers" if content else ""),
        f"Run chmod 700 {entered[0]}; the journals in it are 0600 by themselves",
    )


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def space(folder: Path, settings: s.Settings) -> Iterator[Finding]:
    """Compare the room on the disk of the journals to what one process may use."""
    free = shutil.disk_usage(nearest(folder.absolute())).free // _MIB
    # One journal for spans and one for log records.
    most = 2 * settings[s.JOURNAL_SIZE]
    about, what = "journal.space", f"{free} MiB are free, and one process may use {most}"
    if free < settings[s.JOURNAL_SIZE] // 8:
        yield problem(
            about,
            f"{what}: the disk is full, and records are dropped when the Collector is away",
            "Free space on that disk, or move the journals to another",
        )
    elif free < 4 * most:
        yield warning(
            about,
            f"{what}: an outage of the Collector can fill the disk",
            f"Free space, or lower {s.JOURNAL_SIZE.name}",
        )
    else:
        yield ok(about, what)


def _lasting(folder: Path, mount: Mount | None) -> Iterator[Finding]:
    """Tell whether what is in the folder is there after a restart."""
    about = "journal.volume"
    if mount is None:
        return
    if mount.kind in _GONE_WITH_IT:
        yield warning(
            about,
            f"{folder} lies in memory ({mount.kind} at {mount.at}): it is empty after a restart of "
            "the machine or container",
            f"Set {s.JOURNAL_DIR.name} to a folder on a disk, in a container on a volume",
        )
    elif mount.at == Path("/") and mount.kind in _LAYERS:
        yield warning(
            about,
            f"{folder} lies in the container's own layer: it goes when the container is made anew, "
            "with what the Collector does not have yet",
            f"Set {s.JOURNAL_DIR.name} to a folder on a volume, as the compose overlay does "
            "(otel_journal)",
        )
    elif folder.absolute().is_relative_to(tempfile.gettempdir()):
        yield note(
            about,
            f"{folder} lies among temporary files, which many systems delete when they start",
            f"Set {s.STATE_PATH.name} to a folder that stays, such as /var/lib/otel_dify",
        )
    else:
        yield ok(about, f"It is on {mount.kind} mounted at {mount.at}, and outlives a restart")


def waiting(folder: Path) -> Iterator[Finding]:
    """Count what waits: of processes that live, which send it, and of dead ones."""
    living: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    try:
        for place in sorted(path for path in folder.glob("*/*") if path.is_dir()):
            (living if lives(place) else dead).update(waiting_in(place))
    except OSError as error:
        yield note(
            "journal.waiting",
            f"What waits there cannot be read ({error.strerror})",
            "Run this as the user that Dify runs as",
        )
        return
    if living:
        yield ok("journal.waiting", f"{_counted(living)} of running processes wait to be sent")
    if dead:
        yield note(
            "journal.left",
            f"{_counted(dead)} of processes that have ended wait to be sent",
            "A running process of Dify sends them by and by; otel-dify drain sends them now",
        )
    if not (living or dead):
        yield ok("journal.waiting", "Nothing waits in it to be sent")


def _counted(found: Counter[str]) -> str:
    words = {"traces": "spans", "logs": "log records"}
    return " and ".join(f"{count} {words[signal]}" for signal, count in sorted(found.items()))
