"""Versions: of otel_dify, Dify, its engine, OpenTelemetry and what else it takes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import otel_dify
from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, note, ok, problem, warning
from otel_dify.export.sending.compression import has_zstd
from otel_dify.release import release_of_dify
from otel_dify.settings import COMPRESSION, SIGNALS
from otel_dify.version import __version__

NEEDED = {
    "opentelemetry-api": "1.40.0",
    "opentelemetry-sdk": "1.40.0",
    "opentelemetry-distro": "0.61b0",
    "opentelemetry-exporter-otlp-proto-common": "1.40.0",
    "opentelemetry-exporter-otlp-proto-http": "1.40.0",
    "opentelemetry-instrumentation": "0.61b0",
    "opentelemetry-instrumentation-celery": "0.61b0",
    "opentelemetry-instrumentation-flask": "0.61b0",
    "opentelemetry-instrumentation-httpx": "0.61b0",
    "opentelemetry-instrumentation-redis": "0.61b0",
    "opentelemetry-instrumentation-sqlalchemy": "0.61b0",
    "opentelemetry-semantic-conventions": "0.61b0",
    "googleapis-common-protos": "1.60",
    "urllib3": "2",
    "click": "8.1",
    "protobuf": "5.29",
    "wcwidth": "0.2.13",
    "wrapt": "1.16",
}
"""The lowest version of each package that otel_dify stands on, as its own metadata has it."""

_DIFY, _GRAPHON = ((1, 14), (1, 16)), ((0, 1), (0, 8))
"""The lowest and the highest that otel_dify was tested with; the highest by its first two parts."""
_PYTHON = (3, 12)


def check(examined: Examined) -> Iterator[Finding]:
    """Name what is installed, and what of it is missing, too old or not known."""
    yield from _own()
    yield from _python()
    yield from _dify(examined)
    yield from _graphon(examined)
    yield from _packages()
    yield from _protobuf()
    yield from _optional(examined)


def installed(package: str) -> str:
    """Return the version of a package; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with: ``0.61b0`` is 0 and 61."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, found[0].split("."))) if found else ()


def _own() -> Iterator[Finding]:
    about, where = "versions.otel_dify", Path(otel_dify.__file__).parent
    if not entry_points(group="opentelemetry_distro", name="otel_dify"):
        yield problem(
            about,
            f"otel_dify {__version__} in {where} has no metadata, by which OpenTelemetry finds it",
            "Install the wheel (in a checkout: python -m pip wheel --no-deps --wheel-dir dist . "
            "and python -m pip install --no-deps dist/otel_dify-*.whl), or have the overlay "
            "copy it (python collector/install.py FOLDER, PYTHONPATH=FOLDER)",
        )
        return
    if len(list(entry_points(group="opentelemetry_distro", name="otel_dify"))) > 1:
        yield warning(
            about,
            f"otel_dify is on the path more than once; {where} is the one that is used",
            "Take the others off PYTHONPATH, or uninstall them, so that only one can be meant",
        )
        return
    yield ok(about, f"otel_dify {__version__} in {where}")


def _python() -> Iterator[Finding]:
    text = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _PYTHON:
        yield problem(
            "versions.python",
            f"Python {text} is too old",
            f"Use the Python of Dify, {'.'.join(map(str, _PYTHON))} or later",
        )
    else:
        yield ok("versions.python", f"Python {text} ({sys.executable})")


def _dify(examined: Examined) -> Iterator[Finding]:
    about = "versions.dify"
    if examined.dify is None:
        yield note(
            about,
            "Dify's code is not here, so that only what is outside of it can be looked at",
            "Run this where Dify runs, for the rest: docker compose exec api python -m "
            "otel_dify.cli doctor, or in the folder of Dify's api with its Python",
        )
        return
    found = release_of_dify([str(examined.dify)])
    where = f"Dify {found or '(its pyproject.toml does not say which)'} in {examined.dify}"
    yield _known(about, where, found, _DIFY)


def _graphon(examined: Examined) -> Iterator[Finding]:
    found = installed("graphon")
    if found:
        yield _known("versions.graphon", f"graphon {found}, Dify's engine", found, _GRAPHON)
    elif examined.dify is not None:
        yield problem(
            "versions.graphon",
            "graphon, Dify's engine, is not installed for this Python",
            "Run this with the Python of Dify (in its image: /app/api/.venv/bin/python); if that "
            "is this one, then this Dify is older than 1.14, and otel_dify cannot see its runs",
        )


def _known(
    about: str, what: str, found: str, tested: tuple[tuple[int, ...], tuple[int, ...]]
) -> Finding:
    lowest, highest = tested
    if found and numbers(found)[: len(lowest)] < lowest:
        return problem(
            about,
            f"{what}, is older than what otel_dify can attach to",
            f"Upgrade Dify to {'.'.join(map(str, _DIFY[0]))} or later",
        )
    if not found or numbers(found)[: len(highest)] > highest:
        return note(
            about,
            f"{what}, is not among the versions that otel_dify was tested with",
            'See "What attaches to Dify" below: what this version lacks is named there, and the '
            "rest is recorded",
        )
    return ok(about, what)


def _packages() -> Iterator[Finding]:
    bad = False
    for package, lowest in NEEDED.items():
        found = installed(package)
        if found and numbers(found) >= numbers(lowest):
            continue
        bad = True
        yield problem(
            f"versions.{package}",
            f"{package} {found} is too old" if found else f"{package} is not installed",
            f"otel_dify needs {package} {lowest} or later, which Dify 1.14 and later have: run "
            "this with the Python of Dify, or install it",
        )
    api, sdk = installed("opentelemetry-api"), installed("opentelemetry-sdk")
    about = "versions.opentelemetry"
    if api != sdk:
        yield warning(
            about,
            f"OpenTelemetry's API is {api or 'missing'} and its SDK {sdk or 'missing'}",
            "Install the same version of both, as Dify's lock file has them",
        )
    elif not bad:
        instrumentation = installed("opentelemetry-instrumentation")
        yield ok(about, f"OpenTelemetry {sdk}, instrumentations {instrumentation}")


def _protobuf() -> Iterator[Finding]:
    from google.protobuf.internal import api_implementation

    found, kind = installed("protobuf"), api_implementation.Type()
    if kind == "python":
        yield warning(
            "versions.protobuf",
            f"protobuf {found} runs in pure Python, which makes encoding many times slower",
            "Unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install protobuf's binary wheel",
        )
    else:
        yield ok("versions.protobuf", f"protobuf {found} ({kind})")


def _optional(examined: Examined) -> Iterator[Finding]:
    """Tell of what is needed only where a setting asks for it."""
    settings = examined.settings
    grpc = [signal for signal in SIGNALS if settings.protocol(signal) == "grpc"]
    found = installed("grpcio")
    if grpc and not found:
        yield problem(
            "versions.grpcio",
            f"{' and '.join(grpc)} are to be sent by grpc, and the package grpcio is missing",
            "Install grpcio, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and port 4318",
        )
    elif grpc:
        yield ok("versions.grpcio", f"grpcio {found}")
    if any(settings.of(COMPRESSION, signal) == "zstd" for signal in SIGNALS):
        if has_zstd():
            found = installed("zstandard") or "of Python itself"
            yield ok("versions.zstd", f"zstd: {found}")
        else:
            yield warning(
                "versions.zstd",
                "requests are to be compressed by zstd, and the package zstandard is missing: "
                "they are compressed by gzip",
                f"Install zstandard, or set {COMPRESSION.name}=gzip",
            )
