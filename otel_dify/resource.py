"""Who is speaking: the resource that every span, metric point and log record carries."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from opentelemetry.sdk.resources import Resource

from otel_dify.guard import say_once
from otel_dify.locks import Lock, lock
from otel_dify.release import release_of_dify
from otel_dify.settings import SERVICE_NAME, STATE_PATH, Settings, host_name
from otel_dify.version import __version__


class Slot:
    """A number that no other process of this host and role has, held as long as this one lives.

    Metric series of two processes must differ in ``service.instance.id``, but a new random id for
    each forked worker (Celery replaces them every 50 tasks) would make series without end. So a
    process takes the lowest free number and gives it back by dying; whoever takes it next
    goes on with its series, and with what was counted (``signals/cells.py``).

    Args:
        folder: where the lock files lie; where it cannot be written the process id is the number.
        role: role of the process.
        limit: how many numbers there are.
    """

    LIMIT = 1024

    def __init__(self, folder: Path, role: str, limit: int = LIMIT) -> None:
        self._lock: Lock | None = None
        self._limit = limit
        self.number = os.getpid()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take(folder, role)
        except OSError as error:
            say_once(
                f"{STATE_PATH.name}={folder} cannot be written ({error.strerror}): "
                "service.instance.id ends in the process id, so that every restart makes new "
                "metric series. Set it to a folder that Dify may write to"
            )

    def _take(self, folder: Path, role: str) -> None:
        name = re.sub(r"[^\w.-]", "_", role)
        for number in range(self._limit):
            path = folder / f"{name}-{number}{SLOT}"
            held = lock(path, create=True)
            if held is not None:
                self._lock, self.number, self._path = held, number, path
                return

    @property
    def cells(self) -> Path | None:
        """The file of what is counted under this number; none where it may be another's too."""
        return None if self._lock is None else self._path.with_suffix(CELLS)

    @property
    def shown(self) -> Path | None:
        """The file of what the process shows beside; none where it may be another's too."""
        return None if self._lock is None else self._path.with_suffix(SHOWN)

    @property
    def held(self) -> bool:
        """Whether this process holds a number that no other has."""
        return self._lock is not None

    def close(self) -> None:
        """Give the number back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


SLOT = ".slot"
"""What the names of lock files end in, one for each process."""
CELLS = ".cells"
"""What the names of files of what is counted end in; else they are those of the slots."""
SHOWN = ".shown"
"""The same of what processes show beside (``signals/shown.py``)."""


def left_cells(folder: Path) -> Iterator[Path]:
    """Find what is counted under numbers that no process has; each is held while it is looked at.

    Args:
        folder: where the lock files lie.
    """
    for path in sorted(folder.glob(f"*{CELLS}")):
        try:
            held = lock(path.with_suffix(SLOT))
        except OSError:  # removed meanwhile
            continue
        if held is None:  # its process lives
            continue
        try:
            yield path
        finally:
            held.release()


def build(
    settings: Settings, slot: Slot, role: str, environ: Mapping[str, str] = os.environ
) -> Resource:
    """Build the resource of this process.

    ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SERVICE_NAME`` go before what is told from the process,
    except for ``service.instance.id``: two processes must not share one.
    """
    host = host_name()
    known = {
        "service.name": settings[SERVICE_NAME] or f"dify-{role}",
        "service.namespace": "dify",
        "host.name": host,
        "telemetry.distro.name": "otel_dify",
        "telemetry.distro.version": __version__,
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, sys.version_info[:3])),
        "deployment.environment.name": environ.get("DEPLOY_ENV", "").lower() or "production",
    }
    if release := release_of_dify():
        known["service.version"] = release
    asked = _attributes(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    if settings[SERVICE_NAME]:
        asked["service.name"] = settings[SERVICE_NAME]
    own: dict[str, str | int] = {
        "service.instance.id": f"{host}:{role}:{slot.number}",
        "process.pid": os.getpid(),
    }
    attributes: dict[str, str | int] = {**known, **asked, **own}
    return Resource.create(dict(attributes))


def _attributes(text: str) -> dict[str, str]:
    """Read ``OTEL_RESOURCE_ATTRIBUTES``: pairs with commas, values percent-encoded."""
    pairs = (part.partition("=") for part in text.split(","))
    return {
        key.strip(): unquote(value.strip())
        for key, equals, value in pairs
        if equals and key.strip()
    }
