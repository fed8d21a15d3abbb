"""What ``opentelemetry-instrument`` starts: our distro and our configurator.

Imported by the loader before gevent patches, so nothing of the SDK is imported here.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.distro import (  # type: ignore[attr-defined] # untyped
    BaseDistro,
)

from otel_dify import startup
from otel_dify.guard import guarded
from otel_dify.patching import after_gevent
from otel_dify.sources import registry
from otel_dify.sources.foreign import set_global_providers
from otel_dify.takeover import forget_the_others_protocol

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


class Distro(BaseDistro):  # type: ignore[misc] # upstream is untyped
    """The otel_dify distribution of OpenTelemetry."""

    def _configure(self, **kwargs: Any) -> None:
        """Prepare the process and have the loader take our configurator, whatever else is there."""
        del kwargs
        os.environ["OTEL_PYTHON_CONFIGURATOR"] = "otel_dify"
        logging.getLogger("opentelemetry.instrumentation.auto_instrumentation._load").addFilter(
            _not_about_other_configurators
        )
        if startup.set_up():
            with guarded("otel_dify.distro disabled"):
                registry.say_unknown(registry.disabled_by(os.environ))

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Attach a source, or load a foreign instrumentation once gevent has patched."""
        if not startup.set_up():
            return
        with guarded(f"otel_dify.distro {entry_point.name}"):
            if registry.knows(entry_point.name):
                registry.attach(entry_point.name)
            elif not registry.bridges(entry_point.module):
                after_gevent(lambda: _load_foreign(entry_point, kwargs))


class Configurator:
    """The configurator of otel_dify: sets the global providers."""

    def configure(self, **kwargs: Any) -> None:
        """Set the global providers; they lead to the pipeline that each process makes.

        The loader may have taken the stock distro with our configurator.
        """
        del kwargs
        with guarded("otel_dify.distro protocol"):
            forget_the_others_protocol(os.environ)
        if startup.set_up():
            set_global_providers(os.environ)


def _load_foreign(entry_point: EntryPoint, kwargs: dict[str, Any]) -> None:
    with guarded(f"otel_dify.distro {entry_point.name}"):
        entry_point.load()().instrument(**kwargs)


def _not_about_other_configurators(record: logging.LogRecord) -> bool:
    """Drop the loader's line that the stock configurator, in Dify's image as well, is not used."""
    return not str(record.msg).startswith("Configuration of %s not loaded")
