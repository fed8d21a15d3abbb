"""What is on this machine: disks, memory, pools of connections, the journal."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from otel_dify import settings as s
from otel_dify import table as t
from otel_dify.cli.doctor import journal as journal_of
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Severity
from otel_dify.cli.health.counted import counted_in
from otel_dify.cli.health.layer import Seen, degraded, healthy, not_configured, unhealthy

_DISK = 80.0, 90.0
_MEMORY = 85.0, 95.0
_POOL = 80.0, 100.0
"""Per cent from which on a disk, memory or a pool is degraded, and unhealthy."""
_WAITS_S = 300.0
"""Seconds from which on what waits to be sent is late: the Collector does not take it."""
_GIB = 1 << 30
_CGROUP = Path("/sys/fs/cgroup")


def disk(examined: Examined) -> Seen:
    """Look at the fullest of the disks that telemetry, Dify's files and the system lie on."""
    folders = [examined.settings[s.STATE_PATH], Path("/")]
    if journal_folder := examined.settings.journal():
        folders.insert(0, journal_folder)
    if examined.dify is not None:
        folders.insert(0, examined.dify)
    found = []
    for folder in folders:
        there = journal_of.nearest(folder.absolute())
        usage = shutil.disk_usage(there)
        # As df does: what only root may use is not free.
        per_cent = 100 * usage.used / max(usage.used + usage.free, 1)
        found.append((per_cent, str(there), usage.free))
    per_cent, where, free = max(found, key=lambda one: one[0])
    what = f"{where}: {per_cent:.0f} % used, {free / _GIB:.1f} GiB free"
    return _by(per_cent, _DISK, what)


def memory(examined: Examined) -> Seen:
    """Look at the memory of the container where it has a limit, else at that of the machine."""
    used, limit, whose = _of_container() or _of_machine(examined.proc)
    if not limit:
        return not_configured("the system does not tell")
    per_cent = 100 * used / limit
    what = f"{per_cent:.0f} % of {limit / _GIB:.1f} GiB used {whose}"
    return _by(per_cent, _MEMORY, what)


def _of_machine(proc: Path) -> tuple[int, int, str]:
    """Read ``/proc/meminfo`` (proc(5)); what can be freed at once counts as free."""
    try:
        text = (proc / "meminfo").read_text(encoding="ascii")
    except OSError:
        return 0, 0, ""
    pairs = (line.partition(":") for line in text.splitlines())
    kib = {name: int(rest.split()[0]) for name, _, rest in pairs if rest.split()}
    total = kib.get("MemTotal", 0) << 10
    return total - (kib.get("MemAvailable", 0) << 10), total, "on this machine"


def _of_container(folder: Path = _CGROUP) -> tuple[int, int, str] | None:
    """Read the control group's files (version 2, as mounted in a container)."""
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # no limit ("max"), or none of these files
        return None
    cache = dict(zip(stat[::2], stat[1::2], strict=False)).get("inactive_file", "0")
    return used - int(cache), limit, "in this container"


def pool(examined: Examined) -> Seen:
    """Look at the fullest pool of database connections, as Dify's processes last read theirs."""
    folder = examined.settings[s.STATE_PATH]
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for counted in counted_in(folder):
        for reading in counted.readings():
            found[counted.instance][reading.name] = reading.value
    pools = [
        (100 * of[t.CONNECTIONS_ACTIVE.name] / of[t.CONNECTIONS_MAX.name], name, of)
        for name, of in found.items()
        if of.get(t.CONNECTIONS_MAX.name) and t.CONNECTIONS_ACTIVE.name in of
    ]
    if not pools:
        return not_configured(f"no running process of Dify has told of its pools in {folder}")
    per_cent, name, of = max(pools, key=lambda one: one[0])
    active, most = (int(of[one.name]) for one in (t.CONNECTIONS_ACTIVE, t.CONNECTIONS_MAX))
    what = f"{name}: {active} of {most} database connections taken"
    more = f"; {len(pools)} processes" if len(pools) > 1 else ""
    return _by(per_cent, _POOL, what + more)


def journal(examined: Examined) -> Seen:
    """Look at what waits to be sent, at how long it does, and at the room there is for more."""
    settings = examined.settings
    folder = settings.journal()
    if folder is None:
        return not_configured(f"{s.JOURNAL_DIR.name}=none: what waits is in memory")
    if not folder.is_dir():
        return not_configured(f"{folder} is not there: no process of Dify has recorded yet")
    found = [*journal_of.space(folder, settings), *journal_of.waiting(folder)]
    what = "; ".join(one.what for one in found if one.about != "journal.space") or found[0].what
    for severity, seen in ((Severity.PROBLEM, unhealthy), (Severity.WARNING, degraded)):
        for one in found:
            if one.severity is severity:
                return seen(one.what)
    late_s = max(_ages(settings[s.STATE_PATH]), default=0.0)
    if late_s > _WAITS_S:
        return degraded(f"{what}; the oldest has waited for {late_s:.0f} s")
    return healthy(what)


def _ages(folder: Path) -> Iterator[float]:
    for counted in counted_in(folder):
        for reading in counted.readings():
            if reading.name == t.JOURNAL_AGE.name:
                yield reading.value


def _by(per_cent: float, bounds: tuple[float, float], what: str) -> Seen:
    if per_cent >= bounds[1]:
        return unhealthy(what)
    return degraded(what) if per_cent >= bounds[0] else healthy(what)
