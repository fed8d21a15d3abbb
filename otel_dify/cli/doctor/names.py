"""Misspelt names: the nearest one that there is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.doctor.finding import Finding, warning
from otel_dify.settings import ENDPOINT, OF_A_SIGNAL, SETTINGS, SIGNALS, own_name
from otel_dify.sources.registry import DISABLED, SOURCES, disabled_by, unknown

_OURS = "OTEL_DIFY_"
# Near enough to be a slip of the finger: other libraries have variables with OTEL_, too.
_NEAR, _NEARER = 0.6, 0.88
# Standard names that are near to others and right.
_OTHERS = frozenset(
    {
        *("OTEL_RESOURCE_ATTRIBUTES", "OTEL_PROPAGATORS", "OTEL_LOG_LEVEL"),
        *("OTEL_PYTHON_DISTRO", "OTEL_PYTHON_CONFIGURATOR", "OTEL_SEMCONV_STABILITY_OPT_IN"),
        *("OTEL_BSP_EXPORT_TIMEOUT", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"),
        *("OTEL_BLRP_EXPORT_TIMEOUT", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"),
        *("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
        *("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"),
        *("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"),
        *("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", DISABLED),
        # Dify's own.
        *("OTEL_EXPORTER_TYPE", "OTEL_SAMPLING_RATE", "OTEL_MAX_QUEUE_SIZE"),
        *("OTEL_BATCH_EXPORT_SCHEDULE_DELAY", "OTEL_MAX_EXPORT_BATCH_SIZE"),
        "OTEL_BATCH_EXPORT_TIMEOUT",
    }
)
_KNOWN = {
    *_OTHERS,
    *(setting.name for setting in SETTINGS),
    *(own_name(setting, signal) for setting in (ENDPOINT, *OF_A_SIGNAL) for signal in SIGNALS),
}


def nearest(name: str, known: Iterable[str], at_least: float = _NEAR) -> str:
    """Return the known name that is nearest to another, if one is near.

    Args:
        name: the other.
        known: those that there are.
        at_least: how near, from 0 to 1.
    """
    return next(iter(get_close_matches(name, sorted(known), 1, at_least)), "")


def misspelt_variables(examined: Examined) -> Iterator[Finding]:
    """Find variables of otel_dify's that there are not, and slips in OpenTelemetry's."""
    for name in sorted(examined.environ):
        if name in _KNOWN or not name.startswith("OTEL_"):
            continue
        ours = name.startswith(_OURS)
        meant = nearest(name, _KNOWN, _NEARER)
        if ours and not meant:
            # What all of ours begin with would make any two of them near.
            rests = [known.removeprefix(_OURS) for known in _KNOWN if known.startswith(_OURS)]
            rest = nearest(name.removeprefix(_OURS), rests)
            meant = rest and f"{_OURS}{rest}"
        if ours or meant:
            do = f"Did you mean {meant}? " if meant else ""
            yield warning(
                f"settings.{name}",
                f"{name} is no setting, and has no effect",
                f"{do}Rename it, or take it away; the README lists all settings",
            )


def misspelt_sources(examined: Examined) -> Iterator[Finding]:
    """Find names in ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` that nothing has."""
    for name, meant in unknown(disabled_by(examined.environ)).items():
        do = f"Did you mean {meant}? " if meant else ""
        yield warning(
            "settings.disabled",
            f"{DISABLED} names {name!r}, and no source is called that: it switches nothing off",
            f"{do}The names are {', '.join(sorted({source.name for source in SOURCES}))}",
        )


def disabled(examined: Examined) -> list[str]:
    """Return the names that ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`` has."""
    return [name for name in map(str.strip, examined.has(DISABLED).split(",")) if name]
