"""Starting, recognising and stopping the backends' processes."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessId:
    """A pid together with when it started (seconds since the epoch): pids are used again."""

    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """The running process, None if it ended or the pid belongs to another one by now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path
) -> tuple[ProcessId, subprocess.Popen[bytes]]:
    """Start a program, output appended to `log`, in a session of its own.

    Of its own, so that Ctrl-C in a terminal reaches only the parent, which then stops everything
    in order.
    """
    with log.open("ab") as output:
        popen = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    return ProcessId(popen.pid, psutil.Process(popen.pid).create_time()), popen


def stop(identity: ProcessId, popen: subprocess.Popen[bytes] | None, grace: float) -> None:
    """Ask a process to end, kill it after `grace` seconds (0: at once), and reap our own."""
    process = identity.process()
    if process is not None:
        try:
            if grace > 0:
                process.terminate()
                _wait_for_end(identity, grace)
            if identity.process() is not None:
                process.kill()
                _wait_for_end(identity, KILL_TIMEOUT)
        except psutil.NoSuchProcess:
            pass  # It ended in between, which is what was wanted.
    if popen is not None:
        popen.wait()


# SIGKILL is at once, but for a process that is waiting for its disk.
KILL_TIMEOUT = 10.0


def _wait_for_end(identity: ProcessId, timeout: float) -> None:
    """Wait until a process has ended; one that nobody has reaped yet has ended, too."""
    deadline = time.monotonic() + timeout
    while identity.process() is not None and time.monotonic() < deadline:
        time.sleep(0.02)
