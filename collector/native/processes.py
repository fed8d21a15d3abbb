"""Starting, recognising and stopping the backends' processes."""

import subprocess
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
                _wait(process, popen, grace)
            if identity.process() is not None:
                process.kill()
                _wait(process, popen, 10.0)
        except psutil.NoSuchProcess:
            pass  # It ended in between, which is what was wanted.
    if popen is not None:
        popen.wait()


def _wait(process: psutil.Process, popen: subprocess.Popen[bytes] | None, timeout: float) -> None:
    """Wait for an end, however it came; a child of ours must be waited for by its own handle."""
    try:
        if popen is not None:
            popen.wait(timeout)
        else:
            process.wait(timeout)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        return
