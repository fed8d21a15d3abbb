"""How a child of the micro benchmark attaches telemetry and measures CPU.

CPU is that of the process, all threads, user and system, in loops of at least 0.3 s. What is
batched is handed to the exporters within the loop.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

LEAST_NS = 300_000_000
"""A loop takes at least so much CPU, in nanoseconds."""
LOOPS = 3
"""Loops that are measured, after those that find out how many items a loop has."""


@dataclass
class Telemetry:
    """What is attached to this process.

    Attributes:
        inside: opens the operation, or the span, that the work lies in.
        flush: hands over what is batched.
        provider: the stock tracer provider, where the variant has one.
    """

    inside: Callable[[], AbstractContextManager[Any]] = nullcontext
    flush: Callable[[], object] = field(default=lambda: None)
    provider: Any = None


@dataclass(frozen=True)
class Measured:
    """What one item takes.

    Attributes:
        us: CPU in microseconds.
        wall_us: time in microseconds.
        exported: what the exporters were given for it.
    """

    us: float
    wall_us: float
    exported: dict[str, float]


def attach(variant: str) -> Telemetry:
    """Attach ours, or make the provider that the stock part is to be attached with."""
    if variant.startswith("ours"):
        import otel_dify

        otel_dify.configure()
        return Telemetry(lambda: otel_dify.observe("bench"), otel_dify.flush)
    if variant.startswith("stock"):
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from benchmarks.discard import Spans

        provider = TracerProvider()
        if variant.endswith("-discard"):
            provider.add_span_processor(BatchSpanProcessor(Spans()))
        tracer = provider.get_tracer("bench")
        return Telemetry(
            lambda: tracer.start_as_current_span("bench"), provider.force_flush, provider
        )
    return Telemetry()


def measure(telemetry: Telemetry, work: Callable[[int], object]) -> Measured:
    """Measure ``work(n)``, which does n items, inside an operation.

    How many items make a loop is found out first, which warms up as well.
    """
    from benchmarks.discard import exported

    def loop(items: int) -> tuple[int, int]:
        began, began_wall = time.process_time_ns(), time.perf_counter_ns()
        with telemetry.inside():
            work(items)
        telemetry.flush()
        return time.process_time_ns() - began, time.perf_counter_ns() - began_wall

    items = 1
    while (took := loop(items)[0]) < LEAST_NS:
        items = math.ceil(items * min(10.0, 1.1 * LEAST_NS / max(took, 1)))
    gc.collect()
    gc.freeze()
    exported.clear()
    times = [loop(items) for _ in range(LOOPS)]
    gc.unfreeze()
    return Measured(
        us=statistics.median(cpu for cpu, _ in times) / items / 1000,
        wall_us=statistics.median(wall for _, wall in times) / items / 1000,
        exported={signal: count / LOOPS / items for signal, count in exported.items()},
    )
