from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, ScopeMetrics
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from otel_dify.export.encoding import lean

ROOT = Path(__file__).parents[3]
UV = ROOT / "scripts" / "uv"
LEAN: Mapping[str, Descriptor] = (
    DescriptorPool().AddSerializedFile(lean.DESCRIPTOR).message_types_by_name
)
CANONICAL: dict[str, Descriptor] = {
    name: descriptor
    for module in (common_pb2, resource_pb2, logs_pb2, metrics_pb2, trace_pb2)
    for name, descriptor in module.DESCRIPTOR.message_types_by_name.items()
} | {
    "Buckets": metrics_pb2.ExponentialHistogramDataPoint.Buckets.DESCRIPTOR,
    "OfResource": trace_pb2.ResourceSpans.DESCRIPTOR,
    "OfScope": trace_pb2.ScopeSpans.DESCRIPTOR,
    "MetricOfScope": metrics_pb2.ScopeMetrics.DESCRIPTOR,
}
# What is so long, and then that much: these are the same on the wire, a packed number as well.
LONG = {FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_BYTES}


def wire(field: FieldDescriptor) -> object:
    """Return what tells how a field is read, where bytes may stand for what is encoded already."""
    if field.type in LONG or field.is_packed:
        return "long"
    return {FieldDescriptor.TYPE_ENUM: FieldDescriptor.TYPE_INT32}.get(field.type, field.type)


@pytest.mark.parametrize("name", LEAN)
def test_every_field_is_one_of_otlp(name: str) -> None:
    for field in LEAN[name].fields:
        other = CANONICAL[name].fields_by_number[field.number]
        # Of scopes the record's name differs by the signal, and one of them is made at a time.
        if not name.endswith("OfScope") or field.number != 2:
            assert field.name == other.name
            assert field.is_repeated == (other.is_repeated and not other.is_packed) or (
                field.is_packed and other.is_packed
            )
        assert wire(field) == wire(other)
        if field.message_type is not None:
            assert CANONICAL[field.message_type.name] is other.message_type


def test_the_module_is_what_the_schema_says() -> None:
    told = subprocess.run(
        [UV, "run", "--quiet", "--script", ROOT / "proto" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr


PROGRAM = """
import runpy, struct, sys
import google.protobuf
lean = runpy.run_path(sys.argv[1])
pair = lean["KeyValue"](key="a")
pair.value.array_value.values.add().string_value = "text"
metric = lean["MetricOfScope"]()
metric.metric.histogram.data_points.add(sum=0, min=1).bucket_counts = struct.pack("<2Q", 1, 2)
metric.metric.histogram.data_points[0].attributes.append(pair.SerializeToString())
try:
    pair.key = "\\ud800"
except UnicodeError:
    print(google.protobuf.__version__)
print(pair.SerializeToString().hex(), metric.SerializeToString().hex())
"""


@pytest.mark.parametrize("version", ["==5.29.0", "==5.29.6", "==6.*", "==7.*", ""])
def test_the_module_loads_and_encodes_on_every_protobuf(version: str, tmp_path: Path) -> None:
    """It is tried without this package and what that needs, on which protobuf depends nothing."""
    subprocess.run([UV, "venv", "--quiet", tmp_path], check=True)
    install = ["pip", "install", "--quiet", "--python", str(tmp_path), f"protobuf{version}"]
    subprocess.run([UV, *install], check=True)
    told = subprocess.run(
        [tmp_path / "bin" / "python", "-W", "error", "-c", PROGRAM, lean.__file__],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    loaded, pair, metric = told.stdout.split()
    assert loaded.startswith(version.strip("=*"))
    text = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="text")]))
    expected = KeyValue(key="a", value=text)
    assert KeyValue.FromString(bytes.fromhex(pair)) == expected
    [read_metric] = ScopeMetrics.FromString(bytes.fromhex(metric)).metrics
    [point] = read_metric.histogram.data_points
    assert point == HistogramDataPoint(sum=0, min=1, bucket_counts=[1, 2], attributes=[expected])
