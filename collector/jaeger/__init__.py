"""Jaeger: its configuration, and the links that its pages show."""
