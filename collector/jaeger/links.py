"""The links on Jaeger's pages: a trace to its log, a run to Grafana and to Dify's console."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

_RUN = "dify.workflow.run_id"
_APP = "dify.app_id"


def ui(addresses: Mapping[str, str]) -> dict[str, Any]:
    """Make Jaeger's UI configuration ("Link patterns" in Jaeger's front-end documentation).

    Args:
        addresses: of `grafana` and `dify`.
    """
    grafana = addresses["grafana"]
    console = f"{addresses['dify']}/app/{_value(_APP)}/logs"
    logs = f'{{service_name=~"dify-.+"}} | trace_id="{_value("traceID")}"'
    panes = {"logs": {"datasource": "loki", "queries": [{"refId": "A", "expr": logs}]}}
    explore = quote(json.dumps(panes)).replace(quote(_value("traceID")), _value("traceID"))
    return {
        "linkPatterns": [
            {
                "type": "traces",
                "url": f"{grafana}/explore?schemaVersion=1&panes={explore}",
                "text": "Log of this trace",
            },
            {
                "type": "tags",
                "key": _RUN,
                "url": f"{grafana}/d/dify-run?var-run={_value(_RUN)}",
                "text": "This run in Grafana",
            },
            *(
                {
                    "type": "tags",
                    "key": key,
                    "url": console,
                    "text": "Runs of this app in Dify's console",
                }
                for key in (_RUN, _APP)
            ),
        ]
    }


def _value(key: str) -> str:
    """Write what Jaeger replaces by the value of an attribute."""
    return f"#{{{key}}}"
