"""Which service of the deployment a URL leads to, by Dify's settings, and the path's template."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from otel_dify import table as t

_PORTS = {"http": 80, "https": 443}
type Address = tuple[str, int]


class Found(NamedTuple):
    """A peer at an address.

    Attributes:
        peer: its row of the table.
        template_of: finds the template of a path; empty where there is none.
    """

    peer: t.Peer
    template_of: Callable[[str], str]


class Peers:
    """The known peers of this process.

    Args:
        known: what a setting of Dify is set to, by its name; nothing where it is not.
        rows: the peers there are.
    """

    def __init__(self, known: Callable[[str], object], rows: Iterable[t.Peer] = t.PEERS) -> None:
        self._called: dict[Address, Found] = {}
        self._proxies: dict[Address, Found] = {}
        for peer in rows:
            there = self._proxies if peer.forwards else self._called
            port = str(known(peer.port) or "") if peer.port else ""
            texts = [str(known(name) or "") for name in peer.addresses]
            for text in [text for text in texts if text] or [peer.default]:
                parts = urlsplit(text if "://" in text else f"//{text}")
                if parts.hostname:
                    address = (parts.hostname, parts.port or int(port or port_of(parts.scheme)))
                    match = _matcher(peer.templates, parts.path.rstrip("/"))
                    there.setdefault(address, Found(peer, match))

    def at(self, host: str, port: int) -> Found | None:
        """Find the peer at an address that is called."""
        return self._called.get((host, port))

    def proxy(self, url: Any) -> Found | None:
        """Find the peer that is a proxy, by the address of the proxy."""
        parts = urlsplit(str(url))
        return self._proxies.get((parts.hostname or "", parts.port or port_of(parts.scheme)))


def port_of(scheme: str) -> int:
    """Return the port that a URL means which has none."""
    return _PORTS.get(scheme, 80)


def settings_of_dify(environ: Mapping[str, str]) -> Callable[[str], object]:
    """Return what finds a setting of Dify: in its configuration, if it is there, else by variable.

    Dify reads files and remote sources besides its environment.
    """
    dify = getattr(sys.modules.get("configs"), "dify_config", None)

    def find(name: str) -> object:
        return getattr(dify, name, None) or environ.get(name)

    return find


def _matcher(templates: Iterable[str], base: str) -> Callable[[str], str]:
    """Compile templates into what finds that of a path below ``base``."""
    by_length: dict[int, list[tuple[list[str], str]]] = {}
    # Segments that are given go before those that vary.
    for template in sorted(templates, key=lambda text: text.count("{")):
        parts = template.split("/")
        by_length.setdefault(len(parts), []).append((parts, template))

    @lru_cache(maxsize=1024)
    def template_of(path: str) -> str:
        if not path.startswith(base):
            return ""
        parts = path[len(base) :].rstrip("/").split("/")
        return next(
            (
                template
                for wanted, template in by_length.get(len(parts), ())
                if all(
                    one == part or one.startswith("{")
                    for one, part in zip(wanted, parts, strict=True)
                )
            ),
            "",
        )

    return template_of
