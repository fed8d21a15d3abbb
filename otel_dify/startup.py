"""Start-up: attach to a process without harm, whatever started it and whatever gevent does later.

Here nothing is made before gevent's patch (``patching.py``): no pipeline, no thread, no import of
an HTTP client.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from wrapt import register_post_import_hook

from otel_dify import settings as s
from otel_dify.cleaning.content import ContentGate
from otel_dify.cleaning.text import choose
from otel_dify.guard import say_once
from otel_dify.patching import gevent_pending, watch_gevent
from otel_dify.process import State, process
from otel_dify.sources.logging import REPEATED, LogBridge

if TYPE_CHECKING:
    from otel_dify.pipeline import Pipeline
    from otel_dify.signals.logs import LogWriter

NEEDED = (1, 40)
"""Major and minor version of OpenTelemetry's SDK that is needed at least."""

_ENVIRONMENT = {
    # Stable names from the instrumentations that still default to the old ones.
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
    # Liveness probes make no traces.
    "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "/health$,/threads$,/db-pool-stat$",
}
# The SDK's own: attributes of a span, length of a value and so on.
_LIMIT = re.compile(r"OTEL_\w+_LIMIT")
# Another distro, or Dify with ENABLE_OTEL=true, instruments what our sources have attached to
# already; upstream refuses and warns each time.
_TOLD_TWICE = (
    "opentelemetry.instrumentation.instrumentor",
    "opentelemetry.instrumentation.flask",
)


def set_up(environ: Mapping[str, str] | None = None, command: Sequence[str] | None = None) -> bool:
    """Prepare this process; the pipeline itself is made with the first operation.

    Args:
        environ: the variables; ``os.environ`` where none is given.
        command: the command line that tells the role; this process's where none is given.

    Returns:
        Whether telemetry is on: not with ``OTEL_SDK_DISABLED=true``, nor on an OpenTelemetry that
        is too old for it.
    """
    settings = s.Settings(environ)
    if settings[s.SDK_DISABLED]:
        return False
    if process.state is not State.OFF:
        return True
    if not _is_new_enough(version("opentelemetry-sdk")):
        return False
    for problem in settings.problems:
        say_once(problem)
    choose(settings)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _drop_unusable_limits()
    role = role_of(command or program_of(sys.orig_argv))

    def make() -> Pipeline:
        # The SDK may refuse what it finds here, and is not to be loaded before gevent's patch.
        from otel_dify.pipeline import Pipeline

        return Pipeline(settings, role)

    process.start(make, gevent_pending)
    for name in _TOLD_TWICE:
        logging.getLogger(name).addFilter(_not_about_twice)
    register_post_import_hook(watch_gevent, "gevent.monkey")
    _bridge_logs(settings)
    return True


def _is_new_enough(installed: str) -> bool:
    """Tell whether this OpenTelemetry is one that can be used; say so where it is not.

    Installed beside Dify without dependencies, nothing else has looked.
    """
    parts = re.findall(r"\d+", installed)
    new_enough = tuple(map(int, parts[:2])) >= NEEDED
    if not new_enough:
        say_once(
            f"otel_dify needs OpenTelemetry {NEEDED[0]}.{NEEDED[1]} or later and this Dify has "
            f"{installed}: nothing is recorded, and Dify runs as without otel_dify. Dify 1.14 and "
            "later have a new enough one"
        )
    return new_enough


def _drop_unusable_limits() -> None:
    """Drop what the SDK cannot read of its ``OTEL_*_LIMIT``: importing it would fail."""
    for name, value in list(os.environ.items()):
        if _LIMIT.fullmatch(name) and value.strip() and not value.strip().isdecimal():
            say_once(
                f"{name}={value!r} cannot be used: expected a whole number of at least 0. "
                "Running on with the default; set it right and restart"
            )
            del os.environ[name]


def _not_about_twice(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Attempting to instrument")


def program_of(command: Sequence[str]) -> Sequence[str]:
    """Cut the interpreter and its options off a command line, as ``sys.orig_argv`` has it.

    ``sys.argv`` would not do: for ``python -m celery`` it holds no name under sitecustomize.
    """
    words = list(command[1:])
    while words and words[0].startswith("-") and words[0] not in {"-m", "-c"}:
        del words[: 2 if words[0] in {"-W", "-X"} else 1]
    return words[1:] if words[:1] == ["-m"] else words


def role_of(command: Sequence[str]) -> str:
    """Tell from a command line which of Dify's processes this is.

    Args:
        command: program and arguments, without the interpreter.

    Returns:
        ``api``, ``worker``, ``beat``, or the name of the program.
    """
    words = list(command)
    program = Path(words[0]).name if words else "python"
    if program == "__main__.py":
        program = Path(words[0]).parent.name
    if program in {"gunicorn", "flask"}:
        return "api"
    if program == "celery":
        return "beat" if "beat" in words else "worker"
    return program.removesuffix(".py") or "python"


def said_by_spans(settings: s.Settings) -> frozenset[str]:
    """Name the loggers whose lines a span repeats, unless calls of HTTPX get no spans."""
    disabled = settings.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "")
    names = {name.strip() for name in disabled.split(",")}
    return frozenset() if settings[s.HTTP_CLIENT_LOGS] or names & {"httpx", "*"} else REPEATED


def _bridge_logs(settings: s.Settings) -> None:
    """Attach the bridge; lines wait while gevent has still to patch."""

    def writer() -> LogWriter | None:
        pipeline = process.recording() if process.may_log() else None
        return None if pipeline is None else pipeline.signals.lines

    if settings[s.LOGS_EXPORTER] == ("none",):
        return
    level = logging.getLevelNamesMapping()[settings[s.LOG_LEVEL].upper()]
    bridge = LogBridge(
        level,
        writer,
        content=ContentGate(settings[s.CAPTURE_CONTENT]).event,
        left_out=said_by_spans(settings),
    )
    bridge.attach()
    process.keep(bridge)
