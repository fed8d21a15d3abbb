"""The program that loads every source against what is installed here, and says how each fared.

    python -m otel_dify.cli.doctor.loading FILE

A process of its own, in Dify's folder: it imports much of Dify, which may print, fail or hang. It
records and sends nothing, since it is never set up. Each source attaches as in Dify, when what it
watches has been imported; what a source says of functions that are not there is taken down.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from otel_dify.guard import Failures, caught
from otel_dify.process import process
from otel_dify.sources.hooks import importable
from otel_dify.sources.registry import SOURCES, Source, lacks


@dataclass(frozen=True, slots=True)
class Fared:
    """How one source fared.

    Attributes:
        name: what switches it off in ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS``.
        adapter: its module.
        attached: modules that it has attached to.
        absent: modules that are not installed, each with those that would do as well.
        unknown: sentences about what these versions lack, and what is not seen for it.
        failed: modules that cannot be imported, or attached to, and why.
    """

    name: str
    adapter: str
    attached: list[str]
    absent: list[str]
    unknown: list[str]
    failed: list[str]


def load(source: Source) -> Fared:
    """Load a source as Dify would, and say how it fared."""
    absent = [" or ".join(stands_in) for stands_in in lacks(source)]
    fared = Fared(source.name, source.adapter, [], absent, [], [])
    for name in source.watches:
        if not importable(name):
            continue
        try:
            module = import_module(name)
        except BaseException as error:  # noqa: BLE001 - Dify's code may even exit
            fared.failed.append(f"{name} cannot be imported ({type(error).__name__}: {error})")
            continue
        said, before = set(process.kept(Failures).said), dict(caught())
        try:
            adapter: Any = import_module(f"otel_dify.sources.{source.adapter}")
            adapter.attach(module)
        except Exception as error:  # noqa: BLE001 - told, as the guard would in Dify
            fared.failed.append(f"{name} ({type(error).__name__}: {error})")
            continue
        fared.unknown.extend(sorted(process.kept(Failures).said - said))
        fared.failed.extend(
            f"{place} ({kind})" for place, kind in caught() if (place, kind) not in before
        )
        fared.attached.append(name)
    return fared


def load_all() -> Iterator[Fared]:
    """Load every source, in the order in which they attach to one module."""
    if importable("app_factory"):
        # As Dify begins: from the middle, imports of its modules go round in circles.
        try:
            import_module("app_factory")
        except BaseException as error:  # noqa: BLE001 - what it lacks is told of each source
            logging.getLogger(__name__).debug("app_factory: %s", error)
    yield from map(load, SOURCES)


def main(file: Path) -> None:
    """Load every source, and write how each fared into a file as JSON."""
    logging.disable(logging.CRITICAL)
    file.write_text(json.dumps([asdict(fared) for fared in load_all()]), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
