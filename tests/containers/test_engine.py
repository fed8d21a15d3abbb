"""What the tests start to run containers in, and what is left of it."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from collector.native.query import wait_until
from tests.containers.deployment import SETUP_IMAGE
from tests.containers.engine import CGROUPS, ROOT, Engine, _sweep
from tests.containers.images import images, make

# Starts an engine with a container in it, says so, and waits to be killed.
_PROGRAM = f"""
import sys, time
from pathlib import Path
from tests.containers.engine import _started, _with_compose
from tests.containers.images import make
import os
folder = Path(sys.argv[1])
with _started(folder, {{**os.environ, "DOCKER_CONFIG": str(_with_compose(folder))}}) as engine:
    make(engine, "{SETUP_IMAGE}")
    engine.docker("run", "-d", "{SETUP_IMAGE}", "python", "-c", "import time; time.sleep(600)")
    print("up", flush=True)
    sys.stdin.read()
"""


def traces(folder: Path) -> list[str]:
    """What there is of an engine: processes, mounts."""
    found = [
        f"process {process.pid}: {' '.join(process.info['cmdline'] or ())}"
        for process in psutil.process_iter(["cmdline"])
        if any(
            str(folder / name) in " ".join(process.info["cmdline"] or ())
            for name in ("exec", "data")
        )
    ]
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return found + [line for line in mounts if str(folder) in line]


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_an_engine_of_our_own_leaves_nothing(tmp_path: Path, how: signal.Signals | None) -> None:
    """Whether it is stopped, or whoever started it is killed: no process, mount or container."""
    links = set(Path("/sys/class/net").iterdir())
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, tmp_path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert traces(tmp_path)
        if how is not None:
            process.send_signal(how)
    wait_until(lambda: traces(tmp_path), lambda left: not left, timeout=60, what="end of it all")
    assert set(Path("/sys/class/net").iterdir()) == links
    if how is None:
        assert not list(CGROUPS.glob(f"**/{tmp_path.name}"))


def test_an_image_that_the_engine_has_is_used_and_stays(engine: Engine) -> None:
    name = "busybox:of-a-person"
    make(engine, name)
    with images(engine, [name]):
        assert engine.has_image(name)
    assert engine.has_image(name)
    engine.docker("image", "rm", name)


def test_a_network_that_a_container_is_in_is_not_taken_for_the_engine_s_fault(
    engine: Engine,
) -> None:
    """Whether that container runs or not: `down` would leave something of ours behind."""
    name = "otel-dify-test-network"
    with images(engine, ["busybox:latest"]):
        engine.docker("network", "create", name)
        try:
            assert engine.miscounted(name)
            engine.docker(
                "run", "-d", "--name", name, "--network", name, "busybox:latest", "sleep", "60"
            )
            assert not engine.miscounted(name)
            engine.docker("stop", "--time", "0", name)
            assert not engine.miscounted(name)
        finally:
            engine.docker("rm", "--force", name, check=False)
            engine.docker("network", "rm", name)


def test_what_a_killed_engine_has_left_goes_before_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, living = tmp_path / "otel-dify-engine-dead", tmp_path / "otel-dify-engine-living"
    for folder in (dead, living):
        (folder / "data").mkdir(parents=True)
        (folder / "lock").touch()
    with (living / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        _sweep()
    assert [*tmp_path.iterdir()] == [living]
