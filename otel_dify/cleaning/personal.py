"""Data of persons by its form: cards, Chinese ids and mobile phones, e-mail, addresses of machines.

What has a checksum is masked only where it is right: payment cards (ISO/IEC 7812-1, annex B, and
the issuers' ranges), Chinese resident identity numbers (GB 11643-1999). Numbers of mobile phones
have none (YD/T 1287: eleven digits from 13 to 19).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date

# What numbers of persons are written with, and what stands between their parts.
_DIGITS = bytes(ord("0") if byte in b"0123456789 -+" else ord("_") for byte in range(256))
_BETWEEN = b" -+"
_SHORTEST = 11
_RUN = b"0" * _SHORTEST
# A number begins where no other goes on, or behind an escape (``\n138…``).
_BEGIN = r"(?:(?<![0-9A-Za-z.])|(?<=\\[nrt]))"
_END = r"(?![0-9A-Za-z]|\.[0-9])"
_CARD = re.compile(
    rf"{_BEGIN}(?:[2-6]\d{{3}}([ +-]?)\d{{4}}\1\d{{4}}\1\d{{1,7}}|"
    rf"3[47]\d{{2}}([ +-]?)\d{{6}}\2\d{{5}}|3[0689]\d{{2}}([ +-]?)\d{{6}}\3\d{{4}}){_END}",
    re.ASCII,
)
_CHINESE_ID = re.compile(rf"{_BEGIN}[1-8]\d{{16}}[\dXx]{_END}", re.ASCII)
_PHONE = re.compile(
    rf"{_BEGIN}(?:(?:\+|00)?86[ +-]?)?1[3-9]\d([ +-]?)\d{{4}}\1\d{{4}}{_END}", re.ASCII
)
# What is counted in the same digits.
_COUNTED = re.compile(
    r"(?:bytes?|size|memory|offset|_[nmu]s|duration|elapsed|seq|rows?|count|total|tokens?|bigint)"
    r"[^0-9A-Za-z]{0,4}$",
    re.IGNORECASE,
)
_UNIT = re.compile(r" ?(?:bytes|tokens|rows|[nmu]s|MB|kB)\b")
_DOMAIN = re.compile(r"@(?P<domain>(?:[A-Za-z0-9-]{1,63}\.){1,6}(?P<top>[A-Za-z]{2,24}))(?![\w@])")
_BACKWARDS = re.compile(r"[A-Za-z0-9._%+-]{1,64}")
_LOCAL = 64
# What stands before an ``@`` and is nobody's mailbox, and domains that are none of the internet's.
_PROGRAMS = frozenset({"git", "celery", "ssh", "root", "postgres", "redis"})
_TOPS = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "py",
        "js",
        "ts",
        "css",
        "json",
        "yaml",
        "yml",
        "md",
        "txt",
        "local",
        "internal",
        "svc",
        "cluster",
        "lan",
        "localdomain",
    ]
)
_IPV4 = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\d)", re.ASCII)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}(?:%[\w]{1,16})?(?![\w:])", re.ASCII)
_MOST_COLONS = 7


def has_number(raw: bytes) -> bool:
    """Tell whether a text, UTF-8, may have a number of a person in it."""
    shape = raw.translate(_DIGITS)
    at = shape.find(_RUN)
    while at >= 0:
        end = shape.find(b"_", at)
        if end < 0:
            end = len(raw)
        written = raw[at:end].strip(_BETWEEN)
        if written.isdigit():
            if _LIKELY.match(written):
                return True
        elif len(written.translate(None, _BETWEEN)) >= _SHORTEST:
            return True
        at = shape.find(_RUN, end)
    return False


# Lengths and beginnings of the numbers below, without blanks in them.
_LIKELY = re.compile(rb"(?:1[3-9]\d{9}|(?:00)?861[3-9]\d{9}|[2-6]\d{12,18}|[1-8]\d{16,17})$")


def mask_cards(text: str, mask: str) -> str:
    """Mask the numbers of payment cards."""
    return _CARD.sub(lambda found: mask if is_card(found[0]) else found[0], text)


def is_card(text: str) -> bool:
    """Tell whether a number may be a card's: an issuer's range, a length, and Luhn's checksum."""
    digits = [int(one) for one in text if "0" <= one <= "9"]
    if not _LEAST_OF_CARD <= len(digits) <= _MOST_OF_CARD or len(set(digits)) <= _SAME:
        return False
    doubled = (digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2])  # noqa: PLR2004 - two digits
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and _ISSUERS.match(
        "".join(map(str, digits))
    ) is not None


_LEAST_OF_CARD, _MOST_OF_CARD = 13, 19
_SAME = 1
_ISSUERS = re.compile(
    r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3[47]|3(?:0[0-5]|[689])|35|6(?:011|[245]|4[4-9])|50|56|57|58"
)


def mask_chinese_ids(text: str, mask: str) -> str:
    """Mask Chinese resident identity numbers."""
    return _CHINESE_ID.sub(lambda found: mask if is_chinese_id(found[0]) else found[0], text)


def is_chinese_id(text: str) -> bool:
    """Tell whether 18 characters are an identity number: a date of birth, and the checksum."""
    try:
        date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    weighed = sum(int(digit) * (2 ** (17 - at) % 11) for at, digit in enumerate(text[:17]))
    return "10X98765432"[weighed % 11] == text[17].upper()


def mask_phones(text: str, mask: str) -> str:
    """Mask the numbers of Chinese mobile phones."""

    def masked(found: re.Match[str]) -> str:
        before = text[max(found.start() - 24, 0) : found.start()]
        counted = _COUNTED.search(before) or _UNIT.match(text, found.end())
        return found[0] if counted else mask

    return _PHONE.sub(masked, text)


def mask_emails(text: str, mask: str) -> str:
    """Mask addresses of e-mail."""
    parts: list[str] = []
    done = 0
    for found in _DOMAIN.finditer(text):
        at = found.start()
        if found["top"].lower() in _TOPS:
            continue
        backwards = _BACKWARDS.match(text[max(at - _LOCAL, done) : at][::-1])
        if backwards is None:
            continue
        start = at - backwards.end()
        # The user of an address of a server, and escapes that the mailbox begins behind.
        if text[max(start - 3, 0) : start] == "://" or text[start:at] in _PROGRAMS:
            continue
        if start and text[start - 1] == "\\":
            start += 1
        parts += (text[done:start], mask)
        done = found.end()
    return "".join(parts) + text[done:] if parts else text


def mask_ips(text: str, mask: str) -> str:
    """Mask addresses of machines, but for those that mean this machine or all of them."""

    def masked(found: re.Match[str]) -> str:
        written = found[0]
        if written.count(":") > _MOST_COLONS or (":" in written and written.count(":") < 2):  # noqa: PLR2004 - ``::``
            return written
        try:
            address = ipaddress.ip_address(written)
        except ValueError:
            return written
        return written if address.is_loopback or address.is_unspecified else mask

    text = _IPV4.sub(masked, text)
    return _IPV6.sub(masked, text) if ":" in text else text


MASKS: dict[str, Callable[[str, str], str]] = {
    "card": mask_cards,
    "chinese_id": mask_chinese_ids,
    "phone": mask_phones,
    "email": mask_emails,
    "ip": mask_ips,
}
"""What masks each kind in a text."""
