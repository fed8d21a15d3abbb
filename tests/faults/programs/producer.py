"""A program that records so many units, and ends as it is told.

``producer.py LIST UNITS HOW END``: where it says what it has done; how many; ``plain``,
``threads``, ``asyncio``, ``gevent`` (patched before otel_dify starts, from code) or ``late gevent``
(after ``opentelemetry-instrument`` has started it); ``exit``, ``_exit``, or ``wait`` until its standard input is closed.
"""

from __future__ import annotations

import sys

path, units, how, end = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
if "gevent" in how:
    from gevent import monkey

    monkey.patch_all()

import asyncio
import os
import threading
from pathlib import Path

import otel_dify

if how == "gevent":
    otel_dify.configure()

from producing import Said, unit

said = Said(Path(path))


def some(worker: int, number: int) -> None:
    """Record some units."""
    for one in range(number):
        unit(said, f"{os.getpid()}-{worker}-{one}")


def at_once() -> None:
    """Record units in several threads or greenlets."""
    threads = [threading.Thread(target=some, args=(one, units // 4)) for one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def in_tasks() -> None:
    """Record units in several tasks."""

    async def task(worker: int) -> None:
        for one in range(units // 4):
            unit(said, f"{os.getpid()}-{worker}-{one}")
            await asyncio.sleep(0)

    await asyncio.gather(*(task(one) for one in range(4)))


if how == "asyncio":
    asyncio.run(in_tasks())
elif how == "plain":
    some(0, units)
else:
    at_once()
said.say("done", "")
if end == "_exit":
    os._exit(0)
if end == "wait":
    sys.stdin.read()
