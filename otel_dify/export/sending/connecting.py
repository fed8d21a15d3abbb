"""Connecting to a host until a deadline: its name is looked up, and its addresses are tried."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from otel_dify.export.sending.exchange import Exchange


def connect(host: str, port: int, exchange: Exchange) -> socket.socket:
    """Connect to the first address of a host that answers, each having its share of the time.

    Raises:
        OSError: none does; the error of the last.
    """
    addresses = addresses_of(host, port, exchange)
    last: OSError = OSError("the name has no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(exchange.left() / (len(addresses) - number))
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.settimeout(exchange.left())
        except OSError as error:
            made.close()
            last = error
        except BaseException:
            made.close()
            raise
        else:
            return made
    raise last


def addresses_of(host: str, port: int, exchange: Exchange) -> list[Any]:
    """Look a name up until the deadline.

    The system's resolver knows no timeout and tries for half a minute, so it is asked on a thread
    of its own, which is left behind; connections are made rarely.
    """
    family = _family_of(host)
    if family is not None:
        # No name: gevent would ask a thread all the same.
        address = (host.strip("[]"), port)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]
    found: list[Any] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            found.extend(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
        except OSError as error:
            failed.append(error)
        except UnicodeError:
            failed.append(socket.gaierror(socket.EAI_NONAME, "it is no name of a host"))

    asking = threading.Thread(target=look_up, name="otel_dify-names", daemon=True)
    try:
        asking.start()
    except RuntimeError:  # the interpreter is ending
        look_up()
    else:
        asking.join(exchange.left())
    if failed:
        raise failed[0]
    if not found:
        raise socket.gaierror(socket.EAI_AGAIN, "no answer in time")
    return list(found)


def _family_of(host: str) -> socket.AddressFamily | None:
    """Return the family of an address; none where it is a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host.strip("[]"))
        except OSError:
            continue
        return family
    return None
