"""Errors told apart: what kind of trouble one is, and which errors are the same one."""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Iterator

# Category to what the names of its exception types have in them; the first that fits.
_CATEGORIES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (category, re.compile(pattern, re.IGNORECASE))
    for category, pattern in (
        ("rate_limit", r"rate_?limit|too_?many|^429$"),
        ("quota", r"quota|insufficient|exceeded|^402$"),
        ("authentication", r"authori[sz]|authenticat|unauthori|forbidden|credential|^40[13]$"),
        ("timeout", r"timeout|time_?limit|timed_?out|^408$|^504$"),
        ("provider", r"^Invoke|ServerUnavailable|ProviderError|PluginInvoke|PluginDaemon"),
        ("network", r"connect|network|socket|ssl|dns|resolution|^502$|^503$"),
        ("validation", r"valid|badrequest|valueerror|typeerror|keyerror|^4\d\d$|NotFound"),
    )
)
STOPS = frozenset({"GenerateTaskStoppedError"})
"""Exceptions by which Dify ends what somebody asked it to stop: no failures."""
LIMIT = 16_000
"""Characters kept of a stack trace."""
TELLING = 1024
"""Characters of a message by which a failure is known in the text of the next."""
_LINKS = 16


def category_of(error_type: str) -> str:
    """Tell what kind of trouble an error is from its type.

    Returns:
        ``rate_limit``, ``quota``, ``authentication``, ``timeout``, ``provider``, ``network``,
        ``validation``, or ``internal`` for all others.
    """
    return next((name for name, fits in _CATEGORIES if fits.search(error_type)), "internal")


def fingerprint_of(error: BaseException | None, error_type: str, message: str) -> str:
    """Make a name that the same error has each time it happens.

    It is made of the type and of where it was raised: files and functions of the innermost frames,
    not their lines, so that it outlives releases. Without a stack, of the type and the message
    with its numbers and quoted parts left out.

    Returns:
        16 hexadecimal digits.
    """
    frames = traceback.extract_tb(error.__traceback__)[-5:] if error is not None else []
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.name}" for frame in frames]
    if not where:
        where = [re.sub(r"'[^']*'|\"[^\"]*\"|[0-9a-f-]{8,}|\d+", "?", message)]
    return hashlib.sha256("\n".join([error_type, *where]).encode(errors="replace")).hexdigest()[:16]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """List an error and those that led to it, a few of them."""
    for _ in range(_LINKS):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def stack_of(error: BaseException) -> str:
    """Format the stack trace of an error, its end kept where it is long."""
    if any(len(str(one)) > LIMIT for one in _chain(error)):
        # Python would put the whole of it together, three times over.
        said = f"{type(error).__qualname__}: {str(error)[: LIMIT // 4]}…\n"
        text = "".join([*traceback.format_tb(error.__traceback__), said])
    else:
        text = "".join(traceback.format_exception(error))
    return text if len(text) <= LIMIT else "…" + text[-LIMIT:]
