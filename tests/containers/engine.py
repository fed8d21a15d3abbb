"""A Docker engine for the tests: the one that runs here, or one of our own that leaves nothing."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from collector.native.build import ensure
from collector.native.programs import COMPOSE
from collector.native.query import wait_until

ROOT = Path(__file__).parents[2]
CGROUPS = Path("/sys/fs/cgroup")
_PREFIX, _LOCK = "otel-dify-engine-", "lock"


class EngineError(Exception):
    """There is no engine, or it refused; the message says what to do next."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    Attributes:
        environ: what `docker` and `docker compose` need in their environment to reach it.
        own: whether it was started by us. Then its network is one of its own, without a way out.
        network: the network namespace that its ports are published in; None: this process's.
    """

    environ: Mapping[str, str]
    own: bool
    network: Path | None = None
    _images: list[str] = field(default_factory=list)

    def docker(self, *arguments: str | Path, check: bool = True, stdin: Any = None) -> str:
        """Run a command of `docker`; returns what it printed.

        Raises:
            EngineError: it failed; with its own words.
        """
        done = subprocess.run(
            ["docker", *arguments],
            env=dict(self.environ),
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise EngineError(
                f"docker {' '.join(map(str, arguments))}: {done.stderr.strip()}\n{done.stdout.strip()}"
            )
        return done.stdout

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: list[dict[str, Any]] = json.loads(self.docker("container", "inspect", name))
        return found[0]

    def has_image(self, reference: str) -> bool:
        """Whether there is an image of this name."""
        return bool(self.docker("image", "ls", "--quiet", reference).strip())

    def miscounted(self, network: str) -> bool:
        """Whether nothing is connected to a network: if it cannot be removed then, the engine erred.

        Docker 20.10 keeps the number of a network's endpoints beside the endpoints themselves, and
        may get it wrong where several containers of a network are started, restarted or removed at
        once (libnetwork's `atomicIncDecEpCnt` holds no lock from the change to the store). It
        refuses to remove the network from then on ("has active endpoints"), however long one
        waits, until dockerd is restarted and counts anew ("Fixing inconsistent endpoint_cnt").
        """
        [found] = json.loads(self.docker("network", "inspect", network))
        there = self.docker("container", "ls", "--all", "--quiet", "--filter", f"network={network}")
        return not found["Containers"] and not there.strip()

    def only_miscounted(self, project: str, told: str) -> bool:
        """Whether `docker compose down` failed for nothing but miscounted networks.

        Args:
            project: compose's.
            told: what the command said.
        """
        failed = re.findall(r"^failed to .*$", told, re.MULTILINE)
        networks = [re.search(r"network (\S+) id \w+ has active endpoints$", x) for x in failed]
        ours = ("--quiet", "--filter", f"label=com.docker.compose.project={project}")
        return (
            bool(networks)
            and all(found and self.miscounted(found[1]) for found in networks)
            and self.docker("container", "ls", "--all", *ours) == ""
        )

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the network that ports are published in, with all that is started meanwhile.

        It is the calling thread's: sockets that it has opened stay where they were.
        """
        if self.network is None:
            yield
            return
        with Path("/proc/thread-self/ns/net").open() as before, self.network.open() as there:
            os.setns(there.fileno(), os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(before.fileno(), os.CLONE_NEWNET)


@contextmanager
def engine() -> Iterator[Engine]:
    """Find the engine that runs, or run one until the end.

    Raises:
        EngineError: none runs and none can be started.
    """
    _sweep()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX) as name,
        (Path(name) / _LOCK).open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Path(name)
        environ = {**os.environ, "DOCKER_CONFIG": str(_with_compose(folder))}
        found = _address()
        if found is not None:
            yield Engine({**environ, "DOCKER_HOST": found}, own=False)
        else:
            with _started(folder, environ) as started:
                yield started


def _sweep() -> None:
    """Remove what engines of ours have left that were killed: folders and empty control groups.

    Whoever runs one holds a lock in its folder, which goes with the process.
    """
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        with suppress(OSError), path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.parent)
            _remove_groups(path.parent.name)


def _remove_groups(name: str) -> None:
    for left in sorted(CGROUPS.glob(f"**/{name}/**/"), key=lambda p: -len(p.parts)):
        # On a version 1 hierarchy a link may lead to one that is gone already.
        with suppress(FileNotFoundError):
            left.rmdir()


def _with_compose(folder: Path) -> Path:
    """Make a configuration folder of `docker` that has the Compose plugin and nothing else."""
    plugin = folder / "config" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.symlink_to(ensure(COMPOSE) / "docker-compose")
    return folder / "config"


def _address() -> str | None:
    """The address of an engine that answers, as the person's own `docker` finds it."""
    if shutil.which("docker") is None:
        return None
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        return None
    shown = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    answer = subprocess.run(shown, capture_output=True, text=True, check=True)
    return os.environ.get("DOCKER_HOST") or answer.stdout.strip()


@contextmanager
def _started(folder: Path, environ: Mapping[str, str]) -> Iterator[Engine]:
    """Run `dockerd` in namespaces of its own, until the end.

    Its network, mounts and processes end with it, also where this process is killed. Its folder and
    its control groups are removed here or, after a kill, before the next engine starts.
    """
    made = subprocess.run([ROOT / "scripts" / "docker"], stderr=subprocess.PIPE, check=False)
    if made.returncode:
        raise EngineError(made.stderr.decode().strip())
    if os.geteuid() != 0:
        raise EngineError("No Docker engine answers, and only root can start one: start yours.")
    socket, group = folder / "docker.sock", folder.name
    daemon = (
        *("nice", "-n", "10", "dockerd", "--data-root", folder / "data", "--exec-root"),
        *(folder / "exec", "--pidfile", folder / "dockerd.pid", "-H", f"unix://{socket}"),
        *("--cgroup-parent", group),
    )
    # The loopback device of a new network is down.
    inside = ("sh", "-c", 'ip link set lo up && exec "$@"', "sh", *daemon)
    spaces = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *spaces, *inside],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        reached = {**environ, "DOCKER_HOST": f"unix://{socket}"}
        found = Engine(reached, own=True)

        def answers() -> bool:
            if process.poll() is not None:
                end = "\n".join(log.read_text().splitlines()[-15:])
                raise EngineError(f"dockerd ended with {process.returncode}:\n{end}")
            return bool(found.docker("version", check=False).count("Server"))

        wait_until(answers, timeout=60, what=f"answer of dockerd (log: {log})")
        [first] = psutil.Process(process.pid).children()
        yield Engine(reached, own=True, network=Path(f"/proc/{first.pid}/ns/net"))
    finally:
        _end(process)
        _remove_groups(group)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask dockerd to end, which stops its containers; kill all of it where it does not."""
    with suppress(psutil.NoSuchProcess):
        for first in psutil.Process(process.pid).children():
            first.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
