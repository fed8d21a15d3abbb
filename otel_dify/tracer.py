"""What every tracer of ours does the same way: a span as the current one, for a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import Span, Tracer, use_span


class CurrentSpanTracer(Tracer):
    """A tracer whose ``start_as_current_span`` follows from its ``start_span``."""

    @contextmanager
    def start_as_current_span(  # type: ignore[override] # upstream's decorator is private
        self,
        name: str,
        *args: Any,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
        **kwargs: Any,
    ) -> Iterator[Span]:
        """Start a span and make it the current one, as the SDK does."""
        span = self.start_span(name, *args, **kwargs)
        with use_span(
            span,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ):
            yield span
