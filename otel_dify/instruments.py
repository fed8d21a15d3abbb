"""Counters and gauges of one's own, which leave by the way of otel_dify's."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from math import isfinite
from typing import TYPE_CHECKING

from opentelemetry import trace

from otel_dify import table as t
from otel_dify.cleaning.text import clean_attribute
from otel_dify.guard import guarded, say_once
from otel_dify.operations.current import current
from otel_dify.process import process
from otel_dify.signals.gauges import provide_own
from otel_dify.signals.points import SERIES_LIMIT, own_counter
from otel_dify.signals.series import Labels, Series
from otel_dify.table.instrument import Instrument

if TYPE_CHECKING:
    from otel_dify.signals.points import Store

# Names of instruments in the metrics API's specification.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-/]{0,254}")
_OF_THE_TABLE = frozenset(instrument.name for instrument in t.INSTRUMENTS)
_OVERFLOW: Labels = {"otel.metric.overflow": True}
_PLACE = "otel_dify.instruments"

type Given = tuple[tuple[str, object], ...]


class Counter:
    """What ``counter`` returns.

    Args:
        name: its name.
        unit: its unit in UCUM.
        doc: what it counts.
    """

    def __init__(self, name: str, unit: str, doc: str) -> None:
        self._instrument = own_counter(name, unit, doc) if _usable(name) else None
        self._store: Store | None = None
        self._series: dict[Given, Series] = {}

    def add(self, amount: float = 1, **labels: object) -> None:
        """Add to it.

        Args:
            amount: how much; what is negative or no number is left out, and said once.
            labels: what tells this from others; few values each, for every combination is a
                series. Beyond 2,000 of them all others are counted together.
        """
        pipeline = process.pipeline or process.recording()
        if pipeline is None or self._instrument is None:
            return
        with guarded(_PLACE):
            if not (amount >= 0 and isfinite(amount)):
                say_once(
                    f"The counter {self._instrument.name} was given {amount!r}, which was left "
                    "out: a counter only grows. Use otel_dify.gauge for what goes up and down"
                )
                return
            operation = current()
            span = (
                trace.get_current_span().get_span_context()
                if operation is None
                else operation.span_context
            )
            series = self._series_of(pipeline.signals.store, labels)
            series.record(amount, span, time.time_ns())

    def _series_of(self, store: Store, labels: dict[str, object]) -> Series:
        if self._store is not store:
            # A forked child has another.
            self._store, self._series = store, {}
        key = _given(labels)
        found = self._series.get(key)
        if found is not None:
            return found
        assert self._instrument is not None  # noqa: S101 - asked by who calls this
        with process.counting:
            is_full = len(self._series) >= SERIES_LIMIT
            known = _OVERFLOW if is_full else _clean(key)
            made = store.series(self._instrument, known)
            return made if is_full else self._series.setdefault(key, made)


class _Values:
    """The gauges of one's own, by name: what each was set to, by its labels."""

    def __init__(self) -> None:
        self.of: dict[str, dict[Given, tuple[float, dict[str, str]]]] = {}

    def forked(self) -> None:
        """Forget what was set in the parent, which tells it itself."""
        for values in self.of.values():
            values.clear()


class Gauge:
    """What ``gauge`` returns.

    Args:
        name: its name.
        unit: its unit in UCUM.
        doc: what it tells.
    """

    def __init__(self, name: str, unit: str, doc: str) -> None:
        self._instrument = Instrument(name, "gauge", unit, doc) if _usable(name) else None

    def set(self, value: float, **labels: object) -> None:
        """Set it; the last value is told until it is set anew.

        Args:
            value: what it is now.
            labels: what tells this from others; of more than 2,000 combinations the first are told.
        """
        if process.recording() is None or self._instrument is None:
            return
        with guarded(_PLACE):
            name, known = self._instrument.name, process.kept(_Values).of
            if name not in known:
                known.setdefault(name, {})
                provide_own(self._instrument, lambda: _read(name))
            values, key = known[name], _given(labels)
            if key in values or len(values) < SERIES_LIMIT:
                texts = values[key][1] if key in values else _texts(key)
                values[key] = float(value), texts


def counter(name: str, *, unit: str = "1", doc: str = "") -> Counter:
    """Make a counter of one's own.

        orders = counter("shop.orders", unit="{order}", doc="Orders that were placed")
        orders.add(country="NL")

    It is sent with otel_dify's metrics (``shop_orders_total`` in Prometheus), outlives a kill as
    they do, and points to the span that it was added to within. Without telemetry adding to it
    costs a function call and does nothing.

    Args:
        name: its name: letters, digits, ``.``, ``_``, ``-`` and ``/``. One that is taken by
            otel_dify, or cannot be a name, counts nothing, and is warned of once.
        unit: its unit in UCUM (``s``, ``By``), or what is counted in braces.
        doc: what it counts, in a sentence.
    """
    return Counter(name, unit, doc)


def gauge(name: str, *, unit: str = "1", doc: str = "") -> Gauge:
    """Make a gauge of one's own: what goes up and down, of which the last value is told.

        waiting = gauge("shop.orders.waiting", unit="{order}")
        waiting.set(17, shop="amsterdam")

    Args:
        name: its name, as of a counter.
        unit: its unit in UCUM.
        doc: what it tells, in a sentence.
    """
    return Gauge(name, unit, doc)


def _usable(name: str) -> bool:
    """Tell whether a name can be one of one's own; says so where it cannot."""
    if _NAME.fullmatch(name) and name not in _OF_THE_TABLE:
        return True
    say_once(
        f"{name!r} cannot be the name of a metric of your own, so that nothing is counted under "
        "it: it is taken by otel_dify, or has other characters than letters, digits, . _ - and /"
    )
    return False


def _given(labels: dict[str, object]) -> Given:
    """Return labels as they are told apart by; what cannot be compared is text."""
    return tuple(
        (key, value if isinstance(value, str | bool | int | float) else str(value))
        for key, value in sorted(labels.items())
    )


def _clean(given: Given) -> dict[str, str | bool | int | float]:
    """Clean labels as attributes are."""
    cleaned = ((key, clean_attribute(key, value)) for key, value in given)
    return {
        key: value if isinstance(value, str | bool | int | float) else ", ".join(value)
        for key, value in cleaned
    }


def _texts(given: Given) -> dict[str, str]:
    return {key: str(value) for key, value in _clean(given).items()}


def _read(name: str) -> Iterable[tuple[float, dict[str, str]]]:
    return list(process.kept(_Values).of.get(name, {}).values())
