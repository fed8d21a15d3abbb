"""The programs that are built natively: one Go module each, with committed go.mod and go.sum."""

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

COLLECTOR_FOLDER = Path(__file__).resolve().parent.parent
MODULES = COLLECTOR_FOLDER / "native" / "modules"
MANIFEST = COLLECTOR_FOLDER / "distribution" / "manifest.yaml"

BUILD_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w")


@dataclass(frozen=True)
class Program:
    """One Go module under `modules/` and the binaries that are built from it.

    `binaries` maps the file to write to the package it is built from; `inputs` are further
    files that decide what comes out. `pages` names a module that embeds web pages which are not
    in it (releases add them) and the file that its build misses: an empty one takes its place.
    """

    name: str
    binaries: Mapping[str, str]
    tags: str = ""
    inputs: tuple[Path, ...] = field(default=())
    pages: tuple[str, str] | None = None

    @property
    def module(self) -> Path:
        """The folder of go.mod and go.sum."""
        return MODULES / self.name

    @property
    def key(self) -> str:
        """Changes whenever what is built would: 12 hexadecimal digits."""
        digest = hashlib.sha256()
        recipe = [self.name, *map(str, self.binaries.items()), self.tags, *BUILD_FLAGS]
        recipe += self.pages or ()
        digest.update("\n".join([*recipe, platform.system(), platform.machine()]).encode())
        for path in (self.module / "go.mod", self.module / "go.sum", *self.inputs):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]


def _program(name: str, package: str, *commands: str, tags: str = "") -> Program:
    return Program(name, {command: f"{package}/{command}" for command in commands}, tags)


BUILDER = _program("builder", "go.opentelemetry.io/collector/cmd", "builder")
COLLECTOR = Program(
    "collector",
    {"otelcol": "."},
    inputs=(MANIFEST, BUILDER.module / "go.mod", BUILDER.module / "go.sum"),
)
JAEGER = _program("jaeger", "github.com/jaegertracing/jaeger/cmd", "jaeger")
# Without the service discoveries (clouds, Kubernetes): ours is by file, which always stays.
PROMETHEUS = _program(
    "prometheus",
    "github.com/prometheus/prometheus/cmd",
    "prometheus",
    "promtool",
    tags="remove_all_sd",
)
LOKI = _program("loki", "github.com/grafana/loki/v3/cmd", "loki")
_ALERTMANAGER = "github.com/prometheus/alertmanager"
ALERTMANAGER = Program(
    "alertmanager",
    {name: f"{_ALERTMANAGER}/cmd/{name}" for name in ("alertmanager", "amtool")},
    pages=(_ALERTMANAGER, "ui/app/dist/index.html"),
)
# For tests: checks docker-compose files, which needs no Docker engine, and runs them on one.
COMPOSE = Program("compose", {"docker-compose": "github.com/docker/compose/v2/cmd"})

PROGRAMS = {
    program.name: program
    for program in (BUILDER, COLLECTOR, JAEGER, PROMETHEUS, LOKI, ALERTMANAGER, COMPOSE)
}


def minimum_go() -> tuple[int, ...]:
    """The oldest Go that every module accepts, e.g. (1, 26, 5)."""
    versions: list[tuple[int, ...]] = []
    for program in PROGRAMS.values():
        text = (program.module / "go.mod").read_text()
        directive = re.search(r"^go (\d+(?:\.\d+)+)$", text, re.MULTILINE)
        if directive is None:
            raise ValueError(f"{program.module / 'go.mod'} has no go directive")
        versions.append(tuple(int(part) for part in directive[1].split(".")))
    return max(versions)
