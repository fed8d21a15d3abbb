"""gevent's patch: whether it is still to come, and what must wait for it.

gunicorn's gevent worker and Celery's gevent pool patch the standard library after the interpreter
has started. What exists before the patch (native locks, threads, ``ssl`` contexts) can stop the
process for ever afterwards. What OpenTelemetry itself loads too early is mended after the patch.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

from otel_dify.guard import guarded
from otel_dify.process import process

# Worker class of gunicorn, pool of Celery.
_ASKS_FOR_GEVENT = re.compile(r"(?:^|\s)(?:-[kP]|--worker-class|--pool)[=\s]*\S*gevent")
_PATCHED = frozenset({"GeventDidPatchBuiltinModulesEvent", "GeventDidPatchAllEvent"})


class Patching:
    """What this process knows of gevent's patch.

    Attributes:
        under_way: gevent is in the middle of it.
        waiting: what is to be done afterwards.
    """

    def __init__(self) -> None:
        self.under_way = False
        self.waiting: list[Callable[[], None]] = []


def gevent_pending() -> bool:
    """Tell whether gevent will patch this process and has not done so yet.

    It will if the command line asks for it (``-k gevent``, ``-P gevent``, a worker class of
    geventwebsocket), or if something has imported ``gevent.monkey`` already.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return process.kept(Patching).under_way or not monkey.is_module_patched("threading")
    asked = " ".join([*sys.orig_argv[1:], os.environ.get("GUNICORN_CMD_ARGS", "")])
    return _ASKS_FOR_GEVENT.search(asked) is not None


def after_gevent(action: Callable[[], None]) -> None:
    """Run an action that must not come before gevent's patch: now, or when gevent has patched."""
    if gevent_pending():
        process.kept(Patching).waiting.append(action)
    else:
        action()


def not_while_patching(action: Callable[[], None]) -> None:
    """Run an action now, or after the patch that gevent is in the middle of.

    It looks at every object there is, and Celery's proxies import Celery when they are looked at.
    What is imported then still finds the blocking ``select``.
    """
    if process.kept(Patching).under_way:
        process.kept(Patching).waiting.append(action)
    else:
        action()


def watch_gevent(_: Any) -> None:
    """Wait for gevent's patch, from when ``gevent.monkey`` is imported."""
    from gevent import events

    def patched(event: object) -> None:
        patching, name = process.kept(Patching), type(event).__name__
        if name == "GeventWillPatchAllEvent":
            patching.under_way = True
        elif name in _PATCHED:
            patching.under_way = False
            with guarded("otel_dify.patching"):
                _mend()
                while patching.waiting:
                    patching.waiting.pop(0)()

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


_LOOKED_UP_AT_ONCE = 3
"""Names that are looked up at once at the end: each signal has a connection of its own."""


def have_gevent_start_threads() -> None:
    """Have gevent start the threads in which it looks names up.

    At the end of a process, when the last is sent, it is too late for that (``can't create new
    thread at interpreter shutdown``), and a short process sends nothing before.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("socket"):
        from gevent import get_hub
        from gevent.monkey import get_original

        # A thread is added for what comes while the others are at something.
        wait = get_original("time", "sleep")
        for _ in range(_LOOKED_UP_AT_ONCE):
            get_hub().threadpool.spawn(wait, 0.01)
