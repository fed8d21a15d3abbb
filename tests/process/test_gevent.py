"""gevent: whether it patches before or after us, or not at all, nothing blocks and nothing is lost."""

from __future__ import annotations

import pytest

from tests.process.conftest import INJECTED, INSTRUMENT, Programs

WORK = """
    import logging
    from otel_dify import observe
    with observe("work"):
        logging.getLogger("program").warning("working")
    print("done")
"""
NESTED = """
    from concurrent.futures import ThreadPoolExecutor
    import gevent
    with ThreadPoolExecutor(2) as outer, ThreadPoolExecutor(2) as inner:
        def submit(number):
            gevent.sleep(0)
            return inner.submit(lambda: number * 2).result()
        print(sum(outer.map(submit, range(50))))
"""
PATCH = """
    from gevent import monkey
    monkey.patch_all()
"""
CONFIGURE = """
    import otel_dify
    otel_dify.configure()
"""


@pytest.mark.parametrize("order", [(PATCH, CONFIGURE), (CONFIGURE, PATCH)])
def test_patching_before_and_after_the_start(programs: Programs, order: tuple[str, str]) -> None:
    told = programs.script("".join(order) + WORK + NESTED, prefix=())
    assert told.stdout == "done\n2450\n"
    assert told.stderr == "working\n"
    [span] = programs.spans("work")
    assert [log.span_id for log in programs.logs("program")] == [span.span_id]
    assert programs.counted("dify.custom.duration") == 1


def test_patching_under_the_command(programs: Programs) -> None:
    told = programs.script(PATCH + WORK + NESTED)
    assert told.stdout == "done\n2450\n"
    assert len(programs.spans("work")) == 1


def test_importing_the_patch_and_not_patching(programs: Programs) -> None:
    told = programs.script("\n    import gevent.monkey\n" + WORK)
    assert told.stdout == "done\n"
    assert len(programs.spans("work")) == 1
    assert len(programs.logs("program")) == 1


BLOCKED = """
    import sys, threading
    from concurrent.futures import thread
    from otel_dify import patching, startup
    if "without" in sys.argv:
        patching._mend = lambda: None
    startup.set_up()
    before = thread._global_shutdown_lock
    from gevent import monkey
    # Newer gevents replace the lock themselves; those in Dify's images do not.
    import gevent.monkey._patch_thread_common as own
    if hasattr(own, "_patch_global_shutdown_lock"):
        own._patch_global_shutdown_lock = lambda threading: None
    monkey.patch_all()
    after = thread._global_shutdown_lock
    print(type(after) is type(threading.Lock()), after is before)
"""


@pytest.mark.parametrize(("mended", "told"), [(True, "True False\n"), (False, "False True\n")])
def test_the_lock_of_the_executors_is_one_of_geventss(
    programs: Programs, mended: bool, told: str
) -> None:
    """Without the mend it stays a native one, which blocks the hub when it is waited for."""
    path = programs.folder / "blocked.py"
    programs.script(BLOCKED)
    (programs.folder / "program.py").rename(path)
    words = [] if mended else ["without"]
    done = programs.run("python", str(path), *words, prefix=())
    assert done.stdout == told, done.stderr


# As Dify: a greenlet holds the lock while another one submits.
HELD = """
    import gevent
    from concurrent.futures import ThreadPoolExecutor
    def hold():
        with thread._global_shutdown_lock:
            gevent.sleep(0.05)
    with ThreadPoolExecutor(2) as executor:
        holder = gevent.spawn(hold)
        gevent.sleep(0)
        print(executor.submit(lambda: "submitted").result())
        holder.join()
"""


def test_a_submit_that_meets_another_one_goes_on(programs: Programs) -> None:
    done = programs.script(BLOCKED + HELD, prefix=())
    assert done.stdout.endswith("submitted\n")


def test_without_the_mend_it_would_block_for_ever(programs: Programs) -> None:
    """The deadline is within the child: a native thread that ends the process."""
    deadline = """
    import _thread, os, time
    def end(sleep=time.sleep):
        sleep(3)
        os.write(1, b"blocked")
        os._exit(3)
    _thread.start_new_thread(end, ())
    import sys; sys.argv.append("without")
    """
    # The thread's greenlet must be a native thread: it starts before the patch.
    done = programs.script(deadline + BLOCKED + HELD, prefix=())
    assert done.returncode == 3
    assert done.stdout.endswith("blocked")


def test_nothing_is_started_or_imported_before_the_first_record(programs: Programs) -> None:
    """In a process that gevent will patch, what exists before the patch can block it for ever."""
    source = """
    import sys, threading, os
    late = ["requests", "urllib3", "grpc", "otel_dify.pipeline", "gevent"]
    print([name for name in late if name in sys.modules], threading.active_count())
    sockets = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{fd}")]
    print([name for name in sockets if name.startswith("socket")])
    import logging
    logging.getLogger("early").warning("early")
    print("otel_dify.pipeline" in sys.modules, threading.active_count())
    """
    path = programs.folder / "program.py"
    programs.script("")
    import textwrap

    path.write_text(textwrap.dedent(source + PATCH + WORK), encoding="utf-8")
    done = programs.run("python", str(path), "-P", "gevent", prefix=(INSTRUMENT,))
    assert done.stdout == "[] 1\n[]\nFalse 1\ndone\n", done.stderr
    assert len(programs.logs("early")) == 1
    assert len(programs.spans("work")) == 1


NATIVE = """
    import sys, threading
    from gevent.monkey import get_original
    names = ("Condition", "Event", "Lock", "RLock", "Semaphore", "Thread", "Timer")
    print([
        (module, name)
        for module, loaded in sys.modules.items() if module.startswith("opentelemetry.")
        for name in names
        if vars(loaded).get(name) is get_original("threading", name) is not getattr(threading, name)
    ])
"""


def test_what_the_stock_distro_imported_before_the_patch_is_patched_too(
    programs: Programs,
) -> None:
    """The end of a thread of the old class is never seen: a process waited 30 seconds for it."""
    env = {"OTEL_PYTHON_DISTRO": "distro", "PYTHONPATH": INJECTED}
    told = programs.script(PATCH + WORK + NATIVE, env=env, prefix=())
    assert told.stdout == "done\n[]\n"
    assert len(programs.spans("work")) == 1
    assert programs.counted("dify.custom.duration") == 1
