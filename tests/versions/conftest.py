"""The sources of the engine, attached once for all tests, as in a process of Dify."""

from __future__ import annotations

from otel_dify.sources import registry

for _name in ("dify_graphon", "dify_models", "dify_tools"):
    registry.attach(_name)
