"""The dashboards: one module each says which panels there are, and what each asks."""

from __future__ import annotations

from collector.grafana.catalogue import (
    apps,
    database,
    logs,
    models,
    overview,
    rag,
    run,
    telemetry,
    versions,
    workers,
)

DASHBOARDS = tuple(
    module.DASHBOARD
    for module in (overview, apps, versions, run, models, rag, workers, database, telemetry, logs)
)
