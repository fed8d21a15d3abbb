"""Which of the variables Alertmanager can use: one that it cannot would keep it from starting.

Alertmanager reads its whole file or none of it (its config.go: URL, HostPort, Duration), so that a
slip of the pen in one address would leave everybody untold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_URL = re.compile(
    r"https?://(?:[\w.~!$&'()*+,;=:%-]*@)?(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?"
    r"(?:[/?#][\x21-\x7e]*)?",
    re.IGNORECASE | re.ASCII,
)
_TEXTS = {
    "ALERT_MAIL_TO": re.compile(r"[^{}\n]*[^\s{}@]+@[^\s{}@]+"),
    "ALERT_MAIL_FROM": re.compile(r"[^{}\n]*[^\s{}@]+@[^\s{}@]+"),
    "ALERT_SMTP_HOST": re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"),
    "ALERT_PAGERDUTY_KEY": re.compile(r"[^\s{}]+"),
    "ALERT_GROUP_WAIT": re.compile(
        r"(?:\d{1,6}d)?(?:\d{1,6}h)?(?:\d{1,6}m)?(?:\d{1,6}s)?(?<=[dhms])"
    ),
}
_FORMS = {
    "ALERT_MAIL_TO": "somebody@example.com",
    "ALERT_MAIL_FROM": "somebody@example.com",
    "ALERT_SMTP_HOST": "smtp.example.com:587",
    "ALERT_PAGERDUTY_KEY": "a key without spaces",
    "ALERT_GROUP_WAIT": "30s",
}
_MAX_PORT = 65535


def is_url(text: str) -> bool:
    """Whether Alertmanager takes it as an address to post to."""
    found = _URL.fullmatch(text)
    if found is None or "{{" in text or re.search(r"%(?![0-9A-Fa-f]{2})", text):
        return False
    return found[1] is None or int(found[1]) <= _MAX_PORT


def usable(environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Leave out what Alertmanager could not use; a channel without its variable is none.

    Args:
        environ: the variables, any others among them.

    Returns:
        The rest, and what to mend: a sentence each. It does not repeat the value, which may be a
        secret. Where one of mail's is left out, all of mail's are.
    """
    wrong = {}
    for name, value in environ.items():
        if not value or not name.startswith("ALERT_"):
            continue
        if name in _TEXTS and not _TEXTS[name].fullmatch(value):
            wrong[name] = _FORMS[name]
        elif name.endswith("_URL") and not is_url(value):
            wrong[name] = "https://host/path"
    dropped = set(wrong)
    if dropped & {"ALERT_MAIL_TO", "ALERT_MAIL_FROM", "ALERT_SMTP_HOST"}:
        dropped |= {"ALERT_MAIL_TO", "ALERT_MAIL_FROM", "ALERT_SMTP_HOST"}
    if "ALERT_PAGERDUTY_URL" in dropped:
        # Without the address, PagerDuty's own would get what is meant for another.
        dropped.add("ALERT_PAGERDUTY_KEY")
    said = [f"{name} is not of the form {form}: it is left out" for name, form in wrong.items()]
    return {name: value for name, value in environ.items() if name not in dropped}, said
