"""The ``otel-dify`` command."""
