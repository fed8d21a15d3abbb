"""The version of this package, as its metadata tells it."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("otel-dify")
