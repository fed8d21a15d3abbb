"""What the operator has chosen to have masked; this process has one object of it."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from otel_dify import settings as s
from otel_dify.cleaning.patterns import parse
from otel_dify.cleaning.personal import MASKS
from otel_dify.process import process

_HASHED = re.compile(r"user-[0-9a-f]{32}")
_DIGITS_OF_HASH = 32


class Choices:
    """The operator's choices; the defaults where nobody has read the settings.

    Attributes:
        numbers: what masks data of persons that is numbers, of the kinds that are chosen.
        emails: what masks e-mail; none where it is not chosen.
        ips: what masks addresses of machines; none where it is not chosen.
        patterns: the operator's own.
        persons: whether any of these is to be searched for.

    Args:
        settings: the operator's settings.
    """

    def __init__(self, settings: s.Settings | None = None) -> None:
        chosen = s.MASK.default if settings is None else settings[s.MASK]
        numbers = ("card", "chinese_id", "phone")
        self.numbers: tuple[Callable[[str, str], str], ...] = tuple(
            MASKS[kind] for kind in numbers if kind in chosen
        )
        self.emails = MASKS["email"] if "email" in chosen else None
        self.ips = MASKS["ip"] if "ip" in chosen else None
        self.patterns = [] if settings is None else list(parse(settings[s.MASK_PATTERNS]))
        self.persons = bool(self.numbers or self.emails or self.ips or self.patterns)
        salt = "" if settings is None else settings[s.USER_ID_SALT]
        self._salt = salt.encode()

    @property
    def hashes_users(self) -> bool:
        """Whether ids of users are sent as hashes."""
        return bool(self._salt)

    def user(self, identity: object) -> object:
        """Return the id of a user as it is sent; what is a hash of ours already stays."""
        text = str(identity)
        if not self._salt or not text or _HASHED.fullmatch(text):
            return identity
        hashed = hmac.new(self._salt, text.encode("utf-8", "replace"), hashlib.sha256)
        return f"user-{hashed.hexdigest()[:_DIGITS_OF_HASH]}"


def chosen() -> Choices:
    """Return the choices of this process."""
    return process.kept(Choices)


def choose_by(settings: s.Settings) -> None:
    """Take the choices of an operator's settings from now on."""
    process.keep(Choices(settings))
