"""Which proxy leads to an address, as the environment tells it.

The variables are those that curl made common, read as ``requests`` reads them, which the stock
exporter goes through: ``{http,https,all}_proxy`` and ``no_proxy``, in lower case first.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from otel_dify.export.sending.addresses import masked
from otel_dify.guard import say_once


def proxy_for(address: SplitResult, environ: Mapping[str, str]) -> SplitResult | None:
    """Return the proxy for an address, or none.

    A proxy that cannot be used costs one sentence, and is not used.

    Args:
        address: where requests go, with ``http`` or ``https``.
        environ: the variables.
    """
    variables = [
        variable
        for name in (f"{address.scheme}_proxy", "all_proxy")
        for variable in (name, name.upper())
        # CGI's name for a header that a client sends (CVE-2016-1000110).
        if not (variable == "HTTP_PROXY" and "REQUEST_METHOD" in environ)
    ]
    variable = next((name for name in variables if environ.get(name, "").strip()), None)
    if variable is None or _bypassed(address, environ):
        return None
    text = environ[variable].strip()
    with suppress(ValueError):  # said below
        proxy = urlsplit(text if "://" in text else f"http://{text}")
        if proxy.scheme in {"http", "https"} and proxy.hostname and proxy.port != 0:
            return proxy
    say_once(
        f"{variable}={masked(text)!r} cannot be used: expected an address such as "
        "http://proxy:3128. Running on without a proxy; set it right and restart"
    )
    return None


def _bypassed(address: SplitResult, environ: Mapping[str, str]) -> bool:
    """Tell whether ``no_proxy`` names an address: by name, domain, network, port, or all."""
    host = (address.hostname or "").lower().rstrip(".")
    port = address.port or {"http": 80, "https": 443}[address.scheme]
    for entry in (environ.get("no_proxy") or environ.get("NO_PROXY") or "").lower().split(","):
        named = entry.strip()
        if named == "*" or (named and _names(named, host, port)):
            return True
    return False


def _names(entry: str, host: str, port: int) -> bool:
    with suppress(ValueError):  # no address of the internet's protocol, or no network
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal():
        if int(number) != port:
            return False
        entry = name
    entry = entry.strip("[]").lstrip("*").strip(".")
    return host == entry or host.endswith(f".{entry}")
