"""Start-up: attach to a process without harm, whatever started it and whatever gevent does later.

gunicorn's gevent worker and Celery's gevent pool patch the standard library after the interpreter
has started. What exists before the patch (native locks, threads, ``ssl`` contexts) can stop the
process for ever afterwards, so here nothing is made before it: no pipeline, no thread, no import
of an HTTP client. What OpenTelemetry itself loads too early is mended after the patch.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrapt import register_post_import_hook

from otel_dify import settings as s
from otel_dify.guard import failed, guarded, say_once
from otel_dify.operations.lifecycle import record_with
from otel_dify.processors.content import ContentGate
from otel_dify.signals.log_bridge import LogBridge

if TYPE_CHECKING:
    from opentelemetry._logs import Logger

NEEDED = (1, 40)
"""Major and minor version of OpenTelemetry's SDK that is needed at least."""

_ENVIRONMENT = {
    # Stable names from the instrumentations that still default to the old ones.
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
    # Liveness probes make no traces.
    "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "/health$,/threads$,/db-pool-stat$",
}
# Worker class of gunicorn, pool of Celery.
_ASKS_FOR_GEVENT = re.compile(r"(?:^|\s)(?:-[kP]|--worker-class|--pool)[=\s]*\S*gevent")
# The SDK's own: attributes of a span, length of a value and so on.
_LIMIT = re.compile(r"OTEL_\w+_LIMIT")
_PATCHED = frozenset({"GeventDidPatchBuiltinModulesEvent", "GeventDidPatchAllEvent"})

# Another distro, or Dify with ENABLE_OTEL=true, instruments what our sources have attached to
# already; upstream refuses and warns each time.
_TOLD_TWICE = (
    "opentelemetry.instrumentation.instrumentor",
    "opentelemetry.instrumentation.flask",
)

_started = False
_patching = False
_after_gevent: list[Callable[[], None]] = []


def start(environ: Mapping[str, str] | None = None, command: Sequence[str] | None = None) -> bool:
    """Prepare this process; the pipeline itself is made with the first operation.

    Args:
        environ: the variables; ``os.environ`` where none is given.
        command: the command line that tells the role; this process's where none is given.

    Returns:
        Whether telemetry is on: not with ``OTEL_SDK_DISABLED=true``, nor on an OpenTelemetry that
        is too old for it.
    """
    global _started  # noqa: PLW0603 - a process starts once
    settings = s.Settings(environ)
    if settings[s.SDK_DISABLED]:
        return False
    if _started:
        return True
    if not _is_new_enough(version("opentelemetry-sdk")):
        return False
    _started = True
    for problem in settings.problems:
        say_once(problem)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _drop_unusable_limits()
    role = role_of(command or _program(sys.orig_argv))
    broken = False

    def make() -> Any:
        nonlocal broken
        if broken:
            return None
        try:
            from otel_dify import pipeline
        except Exception as error:  # noqa: BLE001 - the SDK may refuse what it finds here
            broken = True
            failed("otel_dify.startup.pipeline", error)
            return None
        pipeline.prepare(settings, role)
        return pipeline.current()

    record_with(lambda: made.recorders if (made := make()) else ())
    for name in _TOLD_TWICE:
        logging.getLogger(name).addFilter(_not_about_twice)
    register_post_import_hook(_watch_gevent, "gevent.monkey")
    _bridge_logs(settings, make)
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


def _program(command: Sequence[str]) -> Sequence[str]:
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


def gevent_pending() -> bool:
    """Tell whether gevent will patch this process and has not done so yet.

    It will if the command line asks for it (``-k gevent``, ``-P gevent``, a worker class of
    geventwebsocket), or if something has imported ``gevent.monkey`` already.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return _patching or not monkey.is_module_patched("threading")
    asked = " ".join([*sys.orig_argv[1:], os.environ.get("GUNICORN_CMD_ARGS", "")])
    return _ASKS_FOR_GEVENT.search(asked) is not None


def after_gevent(action: Callable[[], None]) -> None:
    """Run an action that must not come before gevent's patch: now, or when gevent has patched."""
    if gevent_pending():
        _after_gevent.append(action)
    else:
        action()


def not_while_patching(action: Callable[[], None]) -> None:
    """Run an action now, or after the patch that gevent is in the middle of.

    It looks at every object there is, and Celery's proxies import Celery when they are looked at.
    What is imported then still finds the blocking ``select``.
    """
    if _patching:
        _after_gevent.append(action)
    else:
        action()


def _watch_gevent(_: Any) -> None:
    """Wait for gevent's patch, from when ``gevent.monkey`` is imported."""
    from gevent import events

    def patched(event: object) -> None:
        global _patching  # noqa: PLW0603 - a process is patched once
        name = type(event).__name__
        if name == "GeventWillPatchAllEvent":
            _patching = True
        elif name in _PATCHED:
            _patching = False
            with guarded("otel_dify.startup.patched"):
                _mend()
                while _after_gevent:
                    _after_gevent.pop(0)()

    events.subscribers.append(patched)


# What OpenTelemetry's modules import by name from `threading`.
_OF_THREADING = ("Condition", "Event", "Lock", "RLock", "Semaphore", "Thread", "Timer")


def _mend() -> None:
    """Mend what OpenTelemetry has loaded before the patch, which reaches modules only.

    Its log SDK imports ``concurrent.futures.thread`` at start-up, whose native lock then blocks
    the whole thread, hub and all, when an executor submits to an executor, as Dify's retrieval
    does. The name is private, and the same in every Python from 3.9 to 3.14.

    The stock distro imports the metrics SDK as well, which takes names from ``threading``: the end
    of a thread of the old class is never seen, so that a process waits 30 seconds for it.
    """
    from gevent.monkey import get_original

    for name, loaded in list(sys.modules.items()):
        if name.startswith("opentelemetry."):
            for item in _OF_THREADING:
                patched = getattr(threading, item)
                if vars(loaded).get(item) is get_original("threading", item) is not patched:
                    setattr(loaded, item, patched)
    module = sys.modules.get("concurrent.futures.thread")
    if module is not None and hasattr(module, "_global_shutdown_lock"):
        module._global_shutdown_lock = threading.Lock()  # type: ignore[attr-defined] # noqa: SLF001 - see above


def _has_pipeline() -> bool:
    """Tell whether an operation has made the pipeline: then there is nothing left to wait for.

    Code may import ``gevent.monkey`` and never patch.
    """
    pipeline = sys.modules.get("otel_dify.pipeline")
    return pipeline is not None and pipeline.made()


def _bridge_logs(settings: s.Settings, make: Callable[[], Any]) -> None:
    """Attach the bridge; records wait while gevent has still to patch."""

    def logger() -> Logger | None:
        if gevent_pending() and not _has_pipeline():
            return None
        made = make()
        found: Logger | None = made.logger_provider.get_logger("python.logging") if made else None
        return found

    if settings[s.LOGS_EXPORTER] == ("none",):
        return
    level = logging.getLevelNamesMapping()[settings[s.LOG_LEVEL].upper()]
    content = ContentGate(settings[s.CAPTURE_CONTENT]).keeps("event")
    bridge = LogBridge(level, logger, content=content)
    bridge.attach()
    os.register_at_fork(after_in_child=bridge.forget)
