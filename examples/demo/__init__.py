"""The demo: example apps run under `opentelemetry-instrument`, and the telemetry they made."""
