"""Loaded by the ``opentelemetry-instrument`` command before it starts the program.

The command reads the names of variables from modules like this one and turns them into its
options. It is also the one moment before the loader chooses a distro: Dify's image has the stock
distro too, and without ``OTEL_PYTHON_DISTRO`` the loader takes whichever it meets first.
"""

from __future__ import annotations

import os

from otel_dify.settings import SETTINGS

os.environ.setdefault("OTEL_PYTHON_DISTRO", "otel_dify")

globals().update(
    {setting.name: setting.name for setting in SETTINGS if setting.name.startswith("OTEL_DIFY_")}
)
