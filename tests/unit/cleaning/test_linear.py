"""Cleaning takes time that grows with the text, whatever somebody has written to slow it down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Each nearly matches an expression, again and again.
NEARLY = (
    *("token", "token ", '"token": {', 'secret="', "key: {\\", "\\", "'", '"', "''", "password="),
    *(
        "api_key",
        "x-api-key: ",
        "--",
        "--token ",
        "<password>",
        "<",
        "(",
        "('token', ",
        "[{",
        "://",
    ),
    *(
        "://a:",
        "://a:b",
        "?key=",
        "&sig",
        "a=b;",
        "eyJ",
        "eyJhbGciOiJI.",
        "sk-",
        "sk-proj-a",
        "app-",
    ),
    *("-", "_", ".", "a-", "AAAA", "A1b2", "aaaaaaaaaaaaaaaaaaa ", "AKIA", "hf_a", "c2stcHJvai"),
    *("1", "1 ", "1-", "138", "4111 ", "+86 ", "110101", "@", "a@", "a@b", "@b.", "a.b@c.d "),
    *("%", "%41", "%25", "%2525", "a%3Db ", "-----BEGIN RSA PRIVATE KEY-----\nAAAAAAAAAAAA"),
    *(
        '{"name": "token", ',
        '{"value": ',
        '"name": "api_key"',
        "'value': '",
        "密码",
        "密码\uff1a",
        "\\u5bc6",
    ),
    *("bearer ", "Basic YWFh", "api key is ", '"x" == password', "::", "1.1.1.", "a:b:"),
)
SIZES = (4_000, 16_000, 64_000, 256_000)
_PROGRAM = """
import sys
from otel_dify.cleaning.redaction import mask_text
from otel_dify.cleaning.text import choose
from otel_dify.settings import Settings
choose(Settings({"OTEL_DIFY_MASK": "card,chinese_id,phone,email,ip"}))
for part in PARTS:
    for size in SIZES:
        mask_text((part * (size // len(part) + 1))[:size])
        mask_text((part * (size // len(part) + 1))[:size] + "\\n!")
print("done")
"""
_DEADLINE_S = 300
"""Many times what it takes; what grows with the square of the text takes hours."""


@pytest.mark.parametrize("number", range(4))
def test_cleaning_is_linear_in_hostile_texts(number: int) -> None:
    """In a process of its own, as an expression of Python's cannot be interrupted."""
    program = f"PARTS = {NEARLY[number::4]!r}\nSIZES = {SIZES!r}\n{_PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == "done\n"
