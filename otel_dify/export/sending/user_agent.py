"""How we call ourselves to receivers."""

from __future__ import annotations

from otel_dify.version import __version__

USER_AGENT = f"otel_dify/{__version__} OTel-OTLP-Exporter-Python/{__version__}"
"""The distribution before the exporter, which is ours as well (OpenTelemetry's specification,
protocol/exporter.md, "User Agent")."""
