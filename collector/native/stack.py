"""The stack: Collector, Jaeger, Prometheus and Loki as processes of this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from collector.configure import write as configure
from collector.native.build import ensure
from collector.native.errors import NativeError, tail
from collector.native.layout import Layout
from collector.native.processes import ProcessId, start, stop
from collector.native.programs import COLLECTOR_FOLDER
from collector.native.services import Service, services
from collector.native.state import STATE_FILE, State

# A cold page cache on a busy machine; a warm start takes some two seconds.
READY_TIMEOUT = 90.0
STOP_GRACE = 15.0


class Stack:
    """Starts, watches and stops the services of one layout.

    As a context manager the services end with the block, and also when this process dies in
    whatever way (a guard process holds a pipe to it); with `keep` they stay, for `attach`.

    Raises NativeError, with the end of the service's log, where one does not become ready.
    """

    def __init__(self, layout: Layout, *, keep: bool = False) -> None:
        self.layout = layout
        self.keep = keep
        self._services = services(layout, ensure)
        self._processes: dict[str, ProcessId] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, data: Path) -> "Stack":
        """The stack that an earlier process left running in a data folder.

        Raises NativeError where there is none.
        """
        state = State.read(data)
        if state is None:
            raise NativeError(f"No stack runs in {data}: start it with `up`, or name its --data.")
        stack = cls(state.layout, keep=True)
        stack._processes = dict(state.processes)
        return stack

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.keep:
            # They are init's children from now on; without this, Popen would warn of them.
            for child in self._children.values():
                child.returncode = 0
        else:
            self.down()

    @property
    def names(self) -> list[str]:
        """The services, in the order in which they are started."""
        return list(self._services)

    def up(self) -> None:
        """Start every service and wait until all are ready."""
        self.layout.data.mkdir(parents=True, exist_ok=True)
        earlier = State.read(self.layout.data)
        if earlier is not None and any(p.process() for p in earlier.processes.values()):
            raise NativeError(
                f"A stack is running in {self.layout.data} already: stop it with `down`, or "
                "choose another --data folder."
            )
        taken = self.layout.ports.taken()
        if taken:
            raise NativeError(
                f"Something else listens on {', '.join(taken)} of 127.0.0.1: stop it, or use "
                "free ports (--free-ports)."
            )
        try:
            configure(self.layout.configured, os.environ)
        except ValueError as error:
            raise NativeError(str(error)) from error
        if not self.keep:
            self._start_guard()
        try:
            for name in self._services:
                self._spawn(name)
            for name in self._services:
                self.wait_ready(name)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Stop every service, the Collector first, and forget the stack. Data stays."""
        for name in reversed(self._services):
            self.stop(name)
        State(self.layout, {}).remove()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def start(self, name: str) -> None:
        """Start one service that was stopped, and wait until it is ready."""
        self._spawn(name)
        self.wait_ready(name)

    def stop(self, name: str, *, kill: bool = False) -> None:
        """Stop one service: politely, or with SIGKILL. Does nothing where it is not running."""
        identity = self._processes.pop(name, None)
        if identity is not None:
            stop(identity, self._children.pop(name, None), 0 if kill else STOP_GRACE)
            State(self.layout, self._processes).write()

    def process(self, name: str) -> ProcessId | None:
        """A service's process, None where it is not running."""
        identity = self._processes.get(name)
        return identity if identity is not None and identity.process() is not None else None

    def log(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.layout.data / f"{name}.log"

    def ready(self, name: str) -> bool:
        """Whether a service says that it can be used."""
        try:
            return httpx.get(self._services[name].ready, timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def wait_ready(self, name: str, timeout: float = READY_TIMEOUT) -> None:
        """Wait until a service is ready; NativeError if it ended or took over `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not self.ready(name):
            if self.process(name) is None:
                raise self._error(name, "ended while it was starting")
            if time.monotonic() > deadline:
                raise self._error(name, f"was not ready after {timeout:.0f} s")
            time.sleep(0.1)

    def _error(self, name: str, what: str) -> NativeError:
        service = self._services[name]
        return NativeError(
            f"{name} {what}. Its log, {self.log(name)}, ends with\n{tail(self.log(name))}\n"
            f"It was started as: {' '.join(service.command)}\n"
            "Mend what the log names; a data folder left by another version can be deleted."
        )

    def _spawn(self, name: str) -> None:
        service: Service = self._services[name]
        self.layout.data.mkdir(parents=True, exist_ok=True)
        if name == "prometheus":
            self.layout.prometheus_folder()
        environment = os.environ | self.layout.environment()
        identity, child = start(service.command, environment, service.folder, self.log(name))
        self._processes[name], self._children[name] = identity, child
        State(self.layout, self._processes).write()

    def _start_guard(self) -> None:
        """Start the process that stops the services when this one dies.

        It waits for the end of a pipe whose other end only this process has, which the kernel
        closes on any death, and then does what `down` does.
        """
        with self.log("guard").open("ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-m", "collector.native", "guard", f"--data={self.layout.data}"],
                cwd=COLLECTOR_FOLDER.parent,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def guard(data: Path) -> None:
    """Wait until standard input ends, then stop the stack in `data` if it is still there."""
    sys.stdin.buffer.read()
    if (data / STATE_FILE).exists():
        Stack.attach(data).down()
