"""How a request's body is compressed before it is sent by HTTP."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from functools import partial

LEVEL = 1
"""Of zlib and zstd: OTLP repeats itself so much that higher levels cost more than they save."""

_GZIP_WINDOW = 31
"""zlib's way to ask for gzip's header and checksum."""


def has_zstd() -> bool:
    """Tell whether this Python can compress with zstd."""
    try:
        _zstd()
    except ImportError:
        return False
    return True


def compressor(name: str) -> Callable[[bytes], bytes]:
    """Return what compresses.

    Args:
        name: ``none``, ``gzip``, ``deflate``, or ``zstd`` where there is one (``has_zstd``); also
            the value of ``Content-Encoding``. ``deflate`` is zlib's format (RFC 9110, 8.4.1.2).
    """
    if name == "gzip":
        return partial(zlib.compress, level=LEVEL, wbits=_GZIP_WINDOW)
    if name == "deflate":
        return partial(zlib.compress, level=LEVEL)
    if name == "zstd":
        return _zstd()
    return bytes


def _zstd() -> Callable[[bytes], bytes]:
    if sys.version_info >= (3, 14):
        from compression import zstd

        return partial(zstd.compress, level=LEVEL)
    import zstandard

    compress: Callable[[bytes], bytes] = zstandard.ZstdCompressor(level=LEVEL).compress
    return compress
