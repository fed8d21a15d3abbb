"""What the product's recorders made of a test, as the commands read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

from otel_dify.cli.otlp_json import add
from otel_dify.cli.records import Telemetry
from otel_dify.cli.traces import Trace, group
from otel_dify.export.file import to_otlp_json

if TYPE_CHECKING:
    from tests.recording import Recording


def traces_of(recorded: Recording) -> list[Trace]:
    """Write its spans as the file exporter does, and read them."""
    telemetry = Telemetry()
    add(telemetry, json.loads(to_otlp_json(encode_spans(recorded.spans))))
    return group(telemetry.spans)
