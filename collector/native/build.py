"""Building the programs into a cache outside the tree, keyed by what they are made of."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from collector.native.errors import NativeError, tail
from collector.native.golang import Report, find_go, locked
from collector.native.programs import BUILD_FLAGS, BUILDER, COLLECTOR, MANIFEST, Program, minimum_go


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/otel_dify/bin`, by default below ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "otel_dify" / "bin"


def say(line: str) -> None:
    """Report progress where it does not mix with a program's output."""
    print(line, file=sys.stderr, flush=True)


def ensure(program: Program, cache: Path | None = None, report: Report = say) -> Path:
    """Return the folder of a program's binaries, building them first if they are not there.

    Safe to call from several processes at once: one builds, the others wait. The folder appears
    by a rename, so an interrupted build leaves nothing that looks complete. Raises NativeError
    with the end of the build's log.
    """
    cache = cache or default_cache()
    folder = cache / f"{program.name}-{program.key}"
    if folder.exists():
        return folder
    with locked(cache / f".{folder.name}.lock", report):
        if folder.exists():
            return folder
        go = find_go(minimum_go(), cache, report)
        report(f"building {program.name} ({', '.join(program.binaries)}); once, some minutes")
        started = time.monotonic()
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f".{folder.name}-"))
        try:
            _build(program, go, temporary, cache / f"{folder.name}.log", report)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        report(f"built {program.name} in {time.monotonic() - started:.0f} s: {folder}")
    return folder


def _build(program: Program, go: Path, target: Path, log: Path, report: Report) -> None:
    """Build every binary of a program into `target`."""
    with tempfile.TemporaryDirectory(prefix="otel-dify-build-") as scratch:
        source = program.module
        if program is COLLECTOR:
            _check_locked()
            source = Path(scratch)
            _generate(ensure(BUILDER, target.parent, report) / "builder", source, log)
            _copy_locked(program, source)
        elif program.pages is not None:
            source = Path(scratch)
            _copy_locked(program, source)
            _add_page(go, source, *program.pages, log)
        for binary, package in program.binaries.items():
            command = [str(go), "build", *BUILD_FLAGS, f"-tags={program.tags}"]
            _run([*_NICE, *command, "-o", str(target / binary), package], source, log)


def _copy_locked(program: Program, target: Path) -> None:
    for name in ("go.mod", "go.sum"):
        shutil.copy(program.module / name, target / name)


def _add_page(go: Path, source: Path, module: str, page: str, log: Path) -> None:
    """Let the module in `source` use a copy of another one that has an empty file for a page."""
    _run([str(go), "mod", "download", module], source, log)
    command = [str(go), "list", "-m", "-f", "{{.Dir}}", module]
    found = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    copy = source / "with-page"
    # The module cache is read-only, and so would be a copy with its modes.
    shutil.copytree(found.stdout.strip(), copy, copy_function=shutil.copyfile)
    for folder in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    (copy / page).parent.mkdir(parents=True, exist_ok=True)
    (copy / page).touch()
    _run([str(go), "mod", "edit", f"-replace={module}=./{copy.name}"], source, log)


# Builds use every core for minutes, on machines that have something else to do.
_NICE = ["nice", "-n", "10"] if shutil.which("nice") else []


def _run(command: list[str], folder: Path, log: Path) -> None:
    """Run one step with its output in `log`."""
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }
    with log.open("a") as output:
        answer = subprocess.run(
            command, cwd=folder, env=environment, stdout=output, stderr=output, check=False
        )
    if answer.returncode != 0:
        raise NativeError(
            f"`{' '.join(command)}` failed ({answer.returncode}); {log} ends with\n{tail(log)}\n"
            "Go modules come from GOPROXY: check that it is reachable, and the free disk space."
        )


def _generate(builder: Path, target: Path, log: Path) -> None:
    """Have the OpenTelemetry Collector Builder write the sources, without fetching anything."""
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["dist"]["output_path"] = str(target)
    copy = target / "manifest.yaml"
    copy.write_text(yaml.safe_dump(manifest))
    skip = ["--skip-get-modules", "--skip-compilation"]
    _run([str(builder), "--config", str(copy), *skip], target, log)


def _check_locked() -> None:
    """Raise NativeError if the manifest was changed without locking it again."""
    committed = COLLECTOR.module / "go.mod"
    requirements = {line.strip() for line in committed.read_text().splitlines()}
    for components in yaml.safe_load(MANIFEST.read_text()).values():
        for component in components if isinstance(components, list) else ():
            if isinstance(component, dict) and component["gomod"] not in requirements:
                raise NativeError(
                    f"{MANIFEST.name} asks for {component['gomod']}, {committed} does not: "
                    "run `python -m collector.native lock`."
                )


def lock_collector(cache: Path | None = None, report: Report = say) -> None:
    """Write the Collector's go.mod and go.sum from the manifest.

    Asks the checksum database for modules it meets for the first time; where that cannot be
    reached, set GONOSUMDB='*' for this one command: go.sum pins them from then on.
    """
    cache = cache or default_cache()
    cache.mkdir(parents=True, exist_ok=True)
    go = find_go(minimum_go(), cache, report)
    log = cache / "lock.log"
    with tempfile.TemporaryDirectory(prefix="otel-dify-lock-") as scratch:
        source = Path(scratch)
        _generate(ensure(BUILDER, cache, report) / "builder", source, log)
        _run([str(go), "list", "-mod=mod", "-deps", "."], source, log)
        for name in ("go.mod", "go.sum"):
            shutil.copy(source / name, COLLECTOR.module / name)
    report(f"wrote {COLLECTOR.module}/go.mod and go.sum")
