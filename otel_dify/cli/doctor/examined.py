"""What is examined: an environment, a folder of Dify's code, backends, and by which clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from otel_dify.settings import Settings

DIFY = Path("/app/api")
"""Where Dify's image has its code."""


@dataclass(frozen=True)
class Examined:
    """What the checks look at.

    Attributes:
        environ: the variables, as a process of Dify has them.
        dify: folder of Dify's code; none where it is not here.
        backends: address by backend (``jaeger``, ``prometheus``, ``loki``), of those that are
            given.
        wait_s: seconds that what was sent may take to come out of a backend.
        timeout_s: seconds that a look-up, a connection or a request may take.
        now: seconds since the epoch.
        proc: folder of the kernel's files about processes.
    """

    environ: Mapping[str, str]
    dify: Path | None = None
    backends: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 30.0
    timeout_s: float = 5.0
    now: Callable[[], float] = time.time
    proc: Path = Path("/proc")

    @property
    def settings(self) -> Settings:
        """What otel_dify reads of the environment."""
        return Settings(self.environ)

    def has(self, name: str) -> str:
        """Return a variable without space around it; empty where it is unset."""
        return self.environ.get(name, "").strip()

    def is_on(self, name: str) -> bool:
        """Tell whether a variable of Dify's says yes, in the words that Dify takes for it."""
        return self.has(name).lower() in {"1", "true", "t", "yes", "y", "on"}


def dify_in(folders: Iterable[str | Path]) -> Path | None:
    """Return the first of some folders that holds Dify's code, if one does."""
    for folder in folders:
        if (Path(folder) / "dify_app.py").is_file():
            return Path(folder).resolve()
    return None
