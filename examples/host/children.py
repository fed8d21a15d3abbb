"""Child processes: started, waited for until they serve, and stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 90
STOP_SECONDS = 30
_POLL_SECONDS = 0.05
_LOG_TAIL_LINES = 30
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class HostError(RuntimeError):
    """A part of the host did not start, or a run could not be asked for."""


@dataclass(frozen=True)
class _Part:
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    # Flask's own server ends in an orderly way, exit hooks included, on an interrupt only.
    stop_signal: signal.Signals

    def tail(self) -> str:
        """Return the last lines of the part's log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_TAIL_LINES:])


def _in_child() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Shells start background jobs with interrupts ignored, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Children:
    """Processes that end with this one, each with a log file of its own.

    They are told to end when the thread that started them does: start them from one that stays.

    Args:
        cwd: where they run.
        logs: the folder of their logs, `<name>.log`.
    """

    def __init__(self, cwd: Path, logs: Path) -> None:
        self._cwd, self._logs = cwd, logs
        self._parts: list[_Part] = []

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self._logs / f"{name}.log"

    def stop(self) -> None:
        """Ask every process to end, the latest first; kill what has not after 30 seconds."""
        for part in reversed(self._parts):
            if part.process.poll() is None:
                part.process.send_signal(part.stop_signal)
            try:
                part.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                part.process.kill()
                part.process.wait()
        self._parts.clear()

    def pid(self, name: str) -> int:
        """Return the id of a process."""
        return next(part.process.pid for part in self._parts if part.name == name)

    def start(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """Start a process and wait until it is ready.

        Args:
            name: of the process, and of its log.
            command: what to run.
            ready: asked again and again whether it serves.
            env: environment on top of this process's.
            stop_signal: what asks it to end.

        Raises:
            HostError: it ended, or was not ready after 90 s; with the end of its log.
        """
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self._cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_in_child,  # noqa: PLW1509 - one system call; no lock is taken
            )
        part = _Part(name, process, self.log(name), stop_signal)
        self._parts.append(part)
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if process.poll() is not None:
                raise HostError(f"{name} ended with {process.returncode}:\n{part.tail()}")
            if time.monotonic() > deadline:
                raise HostError(f"{name} not ready after {START_SECONDS} s:\n{part.tail()}")
            time.sleep(_POLL_SECONDS)
