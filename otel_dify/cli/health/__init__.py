"""``otel-dify health``: whether what Dify needs is there, for a person, a program, or over HTTP."""
