"""Writes what Alertmanager and Jaeger cannot read from the environment themselves.

    python -m collector.configure <folder>

writes `alertmanager/alertmanager.yaml` with the templates of its messages, and `jaeger/ui.json`.
It needs nothing but Python: JSON is YAML, too.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from collector.addresses import addresses
from collector.alertmanager.addresses import usable
from collector.alertmanager.channels import configuration
from collector.jaeger.links import ui

TEMPLATE = Path(__file__).parent / "alertmanager" / "dify.tmpl"


def alertmanager_config(folder: Path) -> Path:
    """The file that Alertmanager is started with."""
    return folder / "alertmanager" / "alertmanager.yaml"


def jaeger_ui(folder: Path) -> Path:
    """The file that Jaeger's `JAEGER_UI_CONFIG` names."""
    return folder / "jaeger" / "ui.json"


def write(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Write all files. Alertmanager's holds secrets: only its owner may read it.

    Returns:
        What is malformed and was left out, a sentence each.

    Raises:
        ValueError: a channel is set up in part. Nothing has been written then.
    """
    config, links = alertmanager_config(folder), jaeger_ui(folder)
    given, said = usable(environ)
    known, channels = addresses(environ), configuration(given)
    for path in (config, links):
        path.parent.mkdir(parents=True, exist_ok=True)
    config.touch(mode=0o600)
    config.write_text(json.dumps(channels, indent=2))
    shutil.copyfile(TEMPLATE, config.with_name(TEMPLATE.name))
    config.with_name("addresses.tmpl").write_text(
        "".join(
            f'{{{{ define "dify.{page}" }}}}{url}{{{{ end }}}}\n' for page, url in known.items()
        )
    )
    links.write_text(json.dumps(ui(known), indent=2))
    return said


if __name__ == "__main__":
    try:
        for line in write(Path(sys.argv[1]), os.environ):
            print(f"{line} (docs/notifications.md)", file=sys.stderr)
    except (ValueError, IndexError) as error:
        sys.exit(f"{error}\nusage: python -m collector.configure <folder>")
