"""Metrics of all processes of a machine, in Prometheus' text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

Names and labels are those that Prometheus makes of the same metrics when they come by OTLP
(``UnderscoreEscapingWithSuffixes``), so that dashboards and rules read either.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import inf, isnan
from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics.export import Histogram as Distribution

from otel_dify import table as t
from otel_dify.table.instrument import Instrument

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

    from otel_dify.cli.health.counted import Counted

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNITS = {"s": "seconds", "By": "bytes"}
_NO_LETTER = re.compile(r"[^a-zA-Z0-9_]")
_NO_LETTER_OF_NAME = re.compile(r"[^a-zA-Z0-9_:]")
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_ESCAPED_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
# collector/prometheus/prometheus.yaml promotes these.
_PROMOTED = (
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.version",
    "deployment.environment.name",
    "host.name",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
)
_TARGET = "target_info"

type Labels = Mapping[str, object]


def name_of(metric: str, unit: str, kind: str) -> str:
    """Return the name of a metric in Prometheus; a histogram's series end in more.

    Args:
        metric: its name.
        unit: its unit in UCUM.
        kind: ``counter``, ``gauge`` or ``histogram``.
    """
    base = _NO_LETTER_OF_NAME.sub("_", metric)
    unit = _UNITS.get(unit, "")
    total = kind == "counter"
    base = base.removesuffix("_total") if total else base
    if unit and not base.endswith(f"_{unit}"):
        base = f"{base}_{unit}"
    return f"{base}_total" if total else base


_GAUGES = {instrument.name: instrument for instrument in t.INSTRUMENTS}
_OWN = Instrument("", "gauge", "", "A gauge of `otel_dify.gauge`")


def exposition(processes: Iterable[Counted]) -> Iterator[str]:
    """Write the metrics of processes, line by line, each metric once with all its series."""
    series: dict[str, list[str]] = defaultdict(list)
    heads: dict[str, list[str]] = {}
    targets = []
    for process in processes:
        whose = _labels_of(process)
        info = {**process.resource, "job": whose["job"], "instance": whose["instance"]}
        targets.append(f"{_TARGET}{_labels(info)} 1\n")
        for metric in process.metrics():
            is_histogram = isinstance(metric.data, Distribution)
            kind = "histogram" if is_histogram else "counter"
            name = name_of(metric.name, metric.unit or "", kind)
            heads.setdefault(name, list(_head(name, metric.description or "", kind)))
            write = _buckets if is_histogram else _number
            for point in metric.data.data_points:
                series[name] += write(name, {**(point.attributes or {}), **whose}, point)  # type: ignore[arg-type] # by their kind
        for reading in process.readings():
            known = _GAUGES.get(reading.name, _OWN)
            name = name_of(reading.name, known.unit, "gauge")
            heads.setdefault(name, list(_head(name, known.doc, "gauge")))
            labels = _labels({**reading.labels, **whose})
            series[name].append(f"{name}{labels} {_value(reading.value)}\n")
    for name in sorted(series):
        yield from heads[name]
        yield from series[name]
    if targets:
        yield from _head(_TARGET, "Attributes of the processes", "gauge")
        yield from targets


def _labels_of(process: Counted) -> dict[str, str]:
    """Return the labels of all series of a process: ``job`` and ``instance`` as OTLP has them."""
    known = process.resource
    service = known.get("service.name") or "dify"
    namespace = known.get("service.namespace")
    return {
        **{key: known[key] for key in _PROMOTED if known.get(key)},
        "job": f"{namespace}/{service}" if namespace else service,
        "instance": process.instance,
    }


def _head(name: str, doc: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {doc.translate(_ESCAPED_HELP)}\n"
    yield f"# TYPE {name} {kind}\n"


def _number(name: str, known: Labels, point: NumberDataPoint) -> list[str]:
    return [f"{name}{_labels(known)} {_value(point.value)}\n"]


def _buckets(name: str, known: Labels, point: HistogramDataPoint) -> Iterator[str]:
    """Write a histogram: buckets hold what is in the lower ones as well."""
    below = 0
    for bound, held in zip((*point.explicit_bounds, inf), point.bucket_counts, strict=True):
        below += held
        yield f"{name}_bucket{_labels({**known, 'le': _value(bound)})} {below}\n"
    yield f"{name}_sum{_labels(known)} {_value(point.sum)}\n"
    yield f"{name}_count{_labels(known)} {below}\n"


def _labels(known: Labels) -> str:
    """Write labels in order of their names; of two that come to the same name, joined values."""
    found: dict[str, str] = {}
    for key, value in sorted(known.items()):
        name, text = _label_of(key), _text(value)
        found[name] = f"{found[name]};{text}" if name in found else text
    return "{" + ",".join(f'{name}="{text}"' for name, text in sorted(found.items())) + "}"


def _label_of(key: str) -> str:
    name = _NO_LETTER.sub("_", key)
    return f"key_{name}" if name[:1].isdigit() else name


def _text(value: object) -> str:
    plain = str(value).lower() if isinstance(value, bool) else str(value)
    return plain.encode("utf-8", "replace").decode().translate(_ESCAPED)


def _value(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if isnan(value):
        return "NaN"
    if value in {inf, -inf}:
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004 - whole numbers are exact in a double up to there
