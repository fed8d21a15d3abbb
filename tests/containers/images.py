"""Images under the names that compose files give, made of programs that were built here.

Nothing can be pulled where these tests run. What is in the images follows the public Dockerfiles:
the same users, paths and entrypoints, and a shell only where they have one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from collector.native.build import default_cache, ensure, say
from collector.native.golang import locked
from collector.native.programs import ALERTMANAGER, COLLECTOR, JAEGER, LOKI, PROMETHEUS
from tests.containers.engine import ROOT, Engine, EngineError
from tests.containers.filesystem import FileSystem, libraries

NOBODY, COLLECTOR_USER, DIFY_USER, REDIS_USER = 65534, 10001, 1001, 999
DIFY_ENVIRONMENT = "/app/api/.venv"
DIFY_FILES = Path(__file__).parent / "dify"
# The oldest engine that the example apps run on, with all that the release of Dify ships beside it.
_REQUIREMENTS = ROOT / "requirements" / "graphon-0.6.0.txt"
# What graphon wants for reading documents, which no app here does: 600 MB.
_NOT_IMPORTED = frozenset(
    {"pypandoc", "llvmlite", "numba", "spacy", "blis", "thinc", "transformers", "hf_xet"}
)


@dataclass(frozen=True)
class Recipe:
    """How to make an image: what is in it, and its settings as lines of a Dockerfile."""

    fill: Callable[[FileSystem], None]
    settings: tuple[str, ...]


def _entrypoint(*words: str) -> str:
    return f"ENTRYPOINT {json.dumps(words)}"


def _collector(files: FileSystem) -> None:
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    if certificates.exists():
        files.file(certificates)
    files.file(ensure(COLLECTOR) / "otelcol", "/otelcol-contrib")


def _jaeger(files: FileSystem) -> None:
    files.base()
    files.busybox()
    files.file(ensure(JAEGER) / "jaeger", "/cmd/jaeger/jaeger-linux")


def _prometheus(files: FileSystem) -> None:
    files.base()
    files.busybox()
    for name in ("prometheus", "promtool"):
        files.file(ensure(PROMETHEUS) / name, f"/bin/{name}")
    files.folder("/prometheus", owner=NOBODY)
    files.folder("/etc/prometheus", owner=NOBODY)


def _alertmanager(files: FileSystem) -> None:
    files.base()
    files.busybox()
    for name in ("alertmanager", "amtool"):
        files.file(ensure(ALERTMANAGER) / name, f"/bin/{name}")
    files.folder("/alertmanager", owner=NOBODY)
    files.folder("/etc/alertmanager", owner=NOBODY)


def _loki(files: FileSystem) -> None:
    files.base(("loki", COLLECTOR_USER))
    files.file(ensure(LOKI) / "loki", "/usr/bin/loki")
    for path in ("/loki", "/loki/rules", "/loki/rules-temp"):
        files.folder(path, owner=COLLECTOR_USER)


def _busybox(files: FileSystem) -> None:
    files.base()
    files.busybox()


def _python(files: FileSystem) -> None:
    files.base()
    files.bash()
    files.busybox()
    files.python()


def _redis(files: FileSystem) -> None:
    # Its entrypoint gives root's rights up when it owns its folder; here it keeps them.
    files.base(("redis", REDIS_USER))
    files.busybox()
    files.programs(_path("redis-server"), _path("redis-cli"))
    files.folder("/data", owner=REDIS_USER)


def _dify(files: FileSystem) -> None:
    """Lay the example host out as Dify's image is, with no otel_dify in it."""
    environment = _dify_environment()
    files.base(("dify", DIFY_USER))
    files.bash()
    files.programs(_path("curl"), _path("flock"))
    files.busybox()
    files.python()
    modules = list(environment.rglob("*.so"))
    for path in libraries(modules):
        # Those that wheels bring are in the environment, and copied with it.
        if not path.is_relative_to(environment):
            files.file(path)
    files.tree(environment, DIFY_ENVIRONMENT, owner=DIFY_USER, without=_NOT_IMPORTED)
    files.tree(ROOT / "examples", "/app/api/examples", owner=DIFY_USER)
    for name in ("app.py", "celery_entrypoint.py"):
        files.file(DIFY_FILES / name, f"/app/api/{name}", owner=DIFY_USER)
    files.file(DIFY_FILES / "entrypoint.sh", "/entrypoint.sh", owner=DIFY_USER)
    files.folder("/app/api/storage", owner=DIFY_USER)
    files.folder("/app/logs", owner=DIFY_USER)


def _plugin_daemon(files: FileSystem) -> None:
    files.base()
    files.python()
    files.tree(ROOT / "examples", "/app/examples")


_DIFY_SETTINGS = (
    f"ENV VIRTUAL_ENV={DIFY_ENVIRONMENT}",
    f"ENV PATH={DIFY_ENVIRONMENT}/bin:/usr/local/bin:/usr/bin:/bin",
    "ENV TZ=UTC",
    "ENV FLASK_APP=app.py",
    "ENV EDITION=SELF_HOSTED",
    "WORKDIR /app/api",
    "EXPOSE 5001",
    "USER dify",
)
_DIFY = Recipe(_dify, (*_DIFY_SETTINGS, _entrypoint("/bin/bash", "/entrypoint.sh")))
RECIPES: Mapping[str, Recipe] = {
    "otel/opentelemetry-collector-contrib": Recipe(
        _collector, ("USER 10001:10001", "EXPOSE 4317 4318", _entrypoint("/otelcol-contrib"))
    ),
    "jaegertracing/jaeger": Recipe(
        _jaeger,
        (
            *("USER 10001", "ENV JAEGER_LISTEN_HOST=0.0.0.0", 'VOLUME ["/tmp"]'),
            _entrypoint("/cmd/jaeger/jaeger-linux"),
        ),
    ),
    "prom/prometheus": Recipe(
        _prometheus,
        (
            *("USER nobody", "WORKDIR /prometheus", "EXPOSE 9090", 'VOLUME ["/prometheus"]'),
            _entrypoint("/bin/prometheus"),
        ),
    ),
    "prom/alertmanager": Recipe(
        _alertmanager,
        (
            *("USER nobody", "WORKDIR /alertmanager", "EXPOSE 9093", 'VOLUME ["/alertmanager"]'),
            _entrypoint("/bin/alertmanager"),
        ),
    ),
    "grafana/loki": Recipe(_loki, ("USER 10001", "EXPOSE 3100", _entrypoint("/usr/bin/loki"))),
    "python": Recipe(
        _python, ("ENV PATH=/usr/local/bin:/usr/bin:/bin", "ENV LANG=C.UTF-8", 'CMD ["python3"]')
    ),
    "busybox": Recipe(_busybox, ('CMD ["sh"]',)),
    "redis": Recipe(_redis, ("WORKDIR /data", 'VOLUME ["/data"]', 'CMD ["redis-server"]')),
    "langgenius/dify-api": _DIFY,
    # The example host asks this one for models, as Dify asks its plugin daemon.
    "langgenius/dify-plugin-daemon": Recipe(
        _plugin_daemon,
        (
            *("ENV PATH=/usr/local/bin:/usr/bin:/bin", "WORKDIR /app", "EXPOSE 5002"),
            _entrypoint("python", "-m", "examples.model_server", "--host", "0.0.0.0"),  # noqa: S104 - in a container
            'CMD ["--port", "5002"]',
        ),
    ),
}


def _path(program: str) -> Path:
    found = shutil.which(program)
    if found is None:
        raise EngineError(f"{program} is not on PATH: install it (apt install {program})")
    return Path(found)


def _dify_environment() -> Path:
    """The environment of Dify's image, kept in the cache under what it is made of."""
    python = _path(str(ROOT / "scripts" / "python"))
    chosen = subprocess.run([python], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes() + chosen.encode() + b"compiled").hexdigest()[
        :12
    ]
    cache = default_cache().parent / "images"
    folder = cache / f"dify-{digest}"
    with locked(cache / f".{folder.name}.lock", say):
        if folder.exists():
            return folder
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{folder.name}-") as scratch:
            made = Path(scratch) / "venv"
            uv = ROOT / "scripts" / "uv"
            subprocess.run([uv, "venv", "--quiet", made], check=True)
            into = ("--compile-bytecode", "--python", made, _REQUIREMENTS)
            subprocess.run([uv, "pip", "sync", "--quiet", *into], check=True)
            for script in (made / "bin").iterdir():
                if not script.is_symlink() and script.read_bytes()[:2] == b"#!":
                    there = script.read_text().replace(str(made), DIFY_ENVIRONMENT)
                    script.write_text(there)
            made.rename(folder)
    return folder


@contextmanager
def images(engine: Engine, references: Iterable[str]) -> Iterator[None]:
    """Have an image of every name in the engine; those that were made for it go in the end.

    What the engine has already under a name is used as it is. A name without a recipe is an
    error: it could only be pulled.
    """
    made = []
    try:
        for reference in sorted(set(references)):
            if engine.has_image(reference):
                continue
            make(engine, reference)
            made.append(reference)
        yield
    finally:
        # An engine of our own ends with all its images.
        if made and not engine.own:
            engine.docker("image", "rm", "--force", *made)


def make(engine: Engine, reference: str) -> None:
    """Make one image."""
    recipe = RECIPES[reference.rpartition(":")[0]]
    changes = [word for line in recipe.settings for word in ("--change", line)]
    importing = subprocess.Popen(
        ["docker", "import", *changes, "-", reference],
        env=dict(engine.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert importing.stdin is not None
    assert importing.stderr is not None
    with importing:
        # It stops reading where it refuses, and says why.
        with suppress(BrokenPipeError), FileSystem(importing.stdin) as files:
            recipe.fill(files)
        with suppress(BrokenPipeError):
            importing.stdin.close()
        said = importing.stderr.read().decode()
    if importing.returncode:
        raise EngineError(f"{reference} was not made: {said}")
