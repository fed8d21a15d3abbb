"""Probing: layers are looked at side by side, each with as much time as it may take.

A look that does not come back is left alone, in its own thread: it is told as unhealthy, and not
looked again until it has come back, so that a service that hangs costs one thread and no more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module

from otel_dify.cli.doctor.examined import Examined
from otel_dify.cli.health.layer import Seen, Status, Told, unhealthy
from otel_dify.cli.health.secrets import without_secrets


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, and how it is looked at.

    Attributes:
        name: what it is called on the command line and in answers.
        look: looks at it, in about ``timeout_s`` seconds of what is examined.
        essential: whether Dify does not work without it.
        slow_ms: milliseconds from which on it is degraded; none where the time says nothing.
        needs: modules that are imported before its time begins, as far as they are here.
    """

    name: str
    look: Callable[[Examined], Seen]
    essential: bool = False
    slow_ms: float | None = None
    needs: tuple[str, ...] = ()


@dataclass(slots=True)
class _Look:
    layer: Layer
    began: float
    done: threading.Event = field(default_factory=threading.Event)
    told: Told | None = None


class Probes:
    """Looks at layers.

    Args:
        examined: what they are looked for in.
        layers: all there are.
        kept_s: seconds that an answer is given again, so that many who ask cost the services
            nothing.
    """

    def __init__(self, examined: Examined, layers: Sequence[Layer], kept_s: float = 0.0) -> None:
        self._examined = examined
        self._layers = layers
        self._kept_s = kept_s
        self._lock = threading.Lock()
        self._looks: dict[str, _Look] = {}

    def tell(self, names: Iterable[str] = ()) -> list[Told]:
        """Tell of layers; all of them where none is named."""
        wanted = set(names)
        chosen = [layer for layer in self._layers if not wanted or layer.name in wanted]
        for module in {module for layer in chosen for module in layer.needs}:
            with suppress(ImportError):
                import_module(module)
        looks = [self._look(layer) for layer in chosen]
        return [self._told(look) for look in looks]

    def _look(self, layer: Layer) -> _Look:
        """Return a look that is under way or new enough, or begin one."""
        now = time.monotonic()
        with self._lock:
            known = self._looks.get(layer.name)
            if known is not None and (not known.done.is_set() or now - known.began < self._kept_s):
                return known
            look = self._looks[layer.name] = _Look(layer, now)
        name = f"otel_dify-health-{layer.name}"
        threading.Thread(target=self._run, args=(look,), name=name, daemon=True).start()
        return look

    def _run(self, look: _Look) -> None:
        layer, began = look.layer, time.monotonic()
        try:
            seen = layer.look(self._examined)
        except Exception as error:  # noqa: BLE001 - what a driver raises is what was seen
            seen = unhealthy(f"{type(error).__name__}: {error}")
        took_ms = (time.monotonic() - began) * 1000
        what = without_secrets(seen.what, self._examined.environ)
        status = seen.status
        if status is Status.HEALTHY and layer.slow_ms is not None and took_ms > layer.slow_ms:
            status, what = Status.DEGRADED, f"{what}; slower than {layer.slow_ms:g} ms"
        look.told = Told(layer.name, status, what, round(took_ms, 2), layer.essential)
        look.done.set()

    def _told(self, look: _Look) -> Told:
        # A little more than the layer has for itself, so that it can say what it waited for.
        patience_s = self._examined.timeout_s + 1.0
        look.done.wait(max(look.began + patience_s - time.monotonic(), 0.0))
        if look.told is not None:
            return look.told
        waited_ms = round((time.monotonic() - look.began) * 1000, 2)
        what = f"no answer in {patience_s:g} s"
        return Told(look.layer.name, Status.UNHEALTHY, what, waited_ms, look.layer.essential)
