"""Where people reach the pages that links in messages and traces lead to."""

from __future__ import annotations

from collections.abc import Mapping

# What it is: the variable that says where, and where docker-compose.otel.yml opens it.
PAGES = {
    "grafana": ("GRAFANA_PUBLIC_URL", "http://localhost:3001"),
    "jaeger": ("JAEGER_PUBLIC_URL", "http://localhost:16686"),
    # Dify's own variable; its compose file opens the console on port 80.
    "dify": ("CONSOLE_WEB_URL", "http://localhost"),
    # The runbooks: a path in this repository unless somebody serves them.
    "docs": ("DOCS_PUBLIC_URL", "."),
}


def addresses(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the address of each page, without a slash at its end."""
    return {
        page: (environ.get(variable) or default).rstrip("/")
        for page, (variable, default) in PAGES.items()
    }
