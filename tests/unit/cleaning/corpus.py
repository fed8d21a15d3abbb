"""The corpus of secrets and look-alikes: read, and filled by a seeded generator.

In braces: ``{a24}`` letters and digits, ``{w35}`` these with ``_`` and ``-``, ``{b40}`` of Base64,
``{h32}`` and ``{d12}`` hexadecimal and decimal digits, ``{H16}`` capitals and digits; ``{unionpay}`` a
card, ``{chinese_id}`` an identity number, each with its checksum; ``{base64:…}`` and ``{percent:…}``
what is in them, encoded; ``{{`` and ``}}`` braces.
"""

from __future__ import annotations

import base64
import random
import re
import string
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

FILE = Path(__file__).parent / "corpus.yaml"
_ALPHABETS = {
    "a": string.ascii_letters + string.digits,
    "w": string.ascii_letters + string.digits + "_-",
    "b": string.ascii_letters + string.digits + "+/",
    "h": "0123456789abcdef",
    "d": string.digits,
    "H": string.ascii_uppercase + "234567",
}
_RANDOM = re.compile(r"\{([awbhdH])(\d+)\}")
_ENCODED = re.compile(r"\{(base64|percent):(.*)\}(?=»)")
_MARKED = re.compile(r"«(.*?)»", re.DOTALL)


def _checked_card(beginning: str, chance: random.Random) -> str:
    digits = beginning + "".join(chance.choices(string.digits, k=15 - len(beginning)))
    total = sum(
        int(one) if at % 2 else sum(divmod(int(one) * 2, 10)) for at, one in enumerate(digits)
    )
    return digits + str(-total % 10)


def _checked_id(chance: random.Random) -> str:
    born = f"{chance.randint(1950, 2010)}{chance.randint(1, 12):02}{chance.randint(1, 28):02}"
    digits = f"110105{born}{chance.randint(0, 999):03}"
    total = sum(int(one) * (2 ** (17 - at) % 11) for at, one in enumerate(digits))
    return digits + "10X98765432"[total % 11]


def fill(template: str, seed: str) -> str:
    """Fill a line of the corpus."""
    chance = random.Random(seed)  # noqa: S311 - it is to be the same each time
    text = _RANDOM.sub(
        lambda found: "".join(chance.choices(_ALPHABETS[found[1]], k=int(found[2]))), template
    )
    text = text.replace("{unionpay}", _checked_card("622202", chance))
    text = text.replace("{visa}", _checked_card("4", chance))
    text = text.replace("{chinese_id}", _checked_id(chance))
    text = _ENCODED.sub(
        lambda found: (
            base64.b64encode(found[2].encode()).decode()
            if found[1] == "base64"
            else quote(found[2], safe="")
        ),
        text,
    )
    return text.replace("{{", "{").replace("}}", "}")


def unmarked(text: str) -> tuple[str, list[str]]:
    """Return a text without its marks, and what was between them."""
    secrets = [part for whole in _MARKED.findall(text) for part in whole.split("\n")]
    return text.replace("«", "").replace("»", ""), secrets


def read(half: str, sort: str, seed: int = 0) -> list[str]:
    """Read the filled lines of a half (``own``, ``holdout``) of a sort (``secrets``, ``lookalikes``)."""
    corpus: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return [fill(line, f"{seed} {half} {number}") for number, line in enumerate(corpus[half][sort])]
