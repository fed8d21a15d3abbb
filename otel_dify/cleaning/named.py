"""Secrets by their names in text: what stands behind the name of a secret is masked.

``key=value``, ``"key": "value"`` of JSON and Python's notation of any depth, headers, options of
commands (``--api-key x``), elements of XML, and pairs (``{"name": "api_key", "value": "x"}``,
``("Authorization", "x")``). A value without quotes ends at the first space, comma, semicolon,
ampersand or closing brace.
"""

from __future__ import annotations

import re

from otel_dify.cleaning.names import CHINESE, ENDS, LITERALS, is_name

MASK = "***"

_NAME = re.compile(ENDS, re.IGNORECASE)
# The quote that closes the name (within a string behind backslashes), the bracket of an index, and
# the sign.
_SIGN = re.compile(
    r"(?P<quote>\\*(?:''|[\"']))?\]?\s{0,20}"
    r"(?P<sign>[!=]={1,2}|:=|=>|[:=：])\s*"  # noqa: RUF001 - a sign of Chinese text
)
_CHINESE_SIGN = re.compile(
    r"(?P<quote>[\"'”」])?\s{0,20}"
    r"(?P<sign>[:=：是为]|\\\\?u(?:ff1a|662f|4e3a))\s*"  # noqa: RUF001 - likewise
)
# Doubled within a literal of SQL; else two of them are an empty text.
_QUOTE = re.compile(r"''(?=[^\s',;:)}\]&])|\\*[\"']")
_BARE = re.compile(
    r"(?:bearer|basic|token)\s+[^\s\"',;&}，。；、]+|[^\s\"',;&}，。；、]+",  # noqa: RUF001 - Chinese signs
    re.IGNORECASE,
)
# Values of these headers have spaces and semicolons in them.
_HEADERS = frozenset({"authorization", "cookie"})
_LINE = re.compile(r"[^\r\n\"'}]+")
_CLOSING = {"{": "}", "[": "]", "(": ")"}
_IN_BRACKETS = re.compile(r"[{}\[\]()]|(?<!\\)\\*[\"']")
# What counts: few digits behind a name are no token.
_NUMBER = re.compile(r"\d{1,5}(?![^\s,;}\])])")

# What says that there is none, or whether there is one.
_NONE = re.compile(r"(?:\\{0,8}[\"']){0,6}|None|null|nil|true|false", re.IGNORECASE)
# Of literals of Python's.
_PREFIX = re.compile(r"[bfru]{1,2}(?=[\"'])", re.IGNORECASE)
# ``"x" == password``
_COMPARED = re.compile(
    r"[\"'](?P<value>[^\"'\n]{1,100})[\"']\s?[!=]={1,2}\s?[\w.-]{0,40}$", re.ASCII
)
_NEAR = 44
_OPTION = re.compile(r"(?<![\w-])--[\w-]{0,40}$")
_GAP = re.compile(r"\s{1,4}(?![\s-])")
_ELEMENT = re.compile(r"<[\w:-]{0,40}$")
_OF_ELEMENT = re.compile(r">(?P<value>[^<]+)")
_TUPLE = re.compile(r"[(\[]\s?b?\\{0,8}[\"'][\w-]{0,40}$")
_OF_TUPLE = re.compile(
    r"\\{0,8}[\"'],\s?(?P<value>b?\\{0,8}[\"'][^\"'\\]*\\{0,8}[\"'])(?=\s?[)\]])"
)
# "Incorrect API key provided: x", "token 'x' has expired": said of a value that only a secret is.
_SAID = re.compile(
    r"s?(?: (?:provided|supplied|given|received|used|is|was|value|with value|id)){0,2}"
    r"[ :=]{1,3}[\"'`(<\[]{0,2}(?P<value>[\w+/*~=-]{16,}(?:\.[\w+/*~=-]+){0,4})",
    re.IGNORECASE | re.ASCII,
)
# Words that people join have few digits beside their letters.
_MIXED = re.compile(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])")
_LEAST_MIXED = 3
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# ``"name": "…api_key"``: the name is itself a value, and its own is before or behind it.
_NAMED = re.compile(
    r"[\"'](?:name|key|variable|field|header|label|id)\\{0,8}[\"']{1,2}\s{0,8}:\s{0,8}"
    r"\\{0,8}[\"']{1,2}[^\"'\\\n]{0,80}$",
    re.IGNORECASE,
)
_NAMED_END = re.compile(r"\s?\\{0,8}[\"']{1,2}(?=\s{0,8}[,}])")
_VALUE = re.compile(
    r"[\"'](?:value|val|default|content|data)\\{0,8}[\"']{1,2}\s{0,8}:\s{0,8}", re.IGNORECASE
)
_IN_BRACES = re.compile(r"[{}]|(?<!\\)\\*[\"']")
_BEFORE, _WINDOW = 160, 2_048


def mask_named(text: str, lowered: str) -> str:
    """Mask what stands behind the name of a secret.

    Args:
        text: the text.
        lowered: the same in lower case.
    """
    if len(lowered) != len(text):  # a letter of which lower case makes two
        lowered = "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
    masked: list[tuple[int, int, str]] = []
    done = 0
    for at in _hits(lowered, text):
        if at < done:
            continue
        for start, end, quote in _values(text, lowered, at):
            masked.append((start, end, f"{quote}{MASK}{quote}"))
            done = max(done, end)
    if not masked:
        return text
    parts: list[str] = []
    done = 0
    for start, end, mask in sorted(masked):
        if start >= done:
            parts += (text[done:start], mask)
            done = end
    return "".join(parts) + text[done:]


def _hits(lowered: str, text: str) -> list[int]:
    """Find where names of secrets may be."""
    hits: list[int] = []
    for literal in (*LITERALS, *CHINESE) if "\\u" in text or not text.isascii() else LITERALS:
        at = lowered.find(literal)
        while at >= 0:
            hits.append(at)
            at = lowered.find(literal, at + 1)
    hits.sort()
    return hits


def _values(text: str, lowered: str, at: int) -> list[tuple[int, int, str]]:
    """Find the values of the secret that may be named at a place; each with its quote."""
    name = _NAME.match(text, at)
    if name is None:
        chinese = next((one for one in CHINESE if lowered.startswith(one, at)), None)
        sign = chinese and _CHINESE_SIGN.match(text, at + len(chinese))
        return _signed(text, sign, to_line_end=False) if sign else []
    end = name.end()
    if not is_name(lowered, at, end):
        return []
    sign = _SIGN.match(text, end)
    if sign is not None:
        if lowered.startswith("token", at) and _NUMBER.match(text, sign.end()):
            return []
        to_line_end = name[0].lower() in _HEADERS and sign["sign"] == ":"
        return _signed(text, sign, to_line_end=to_line_end)
    return _unsigned(text, at, end)


def _signed(text: str, sign: re.Match[str], *, to_line_end: bool) -> list[tuple[int, int, str]]:
    start = sign.end()
    end = end_of(text, start, _LINE if to_line_end else _BARE)
    if end == start or _NONE.fullmatch(text, start, end):
        return []
    return [(start, end, sign["quote"] or _quote_at(text, start))]


def _unsigned(text: str, at: int, end: int) -> list[tuple[int, int, str]]:
    """Find the value of a name that no sign follows."""
    before = max(at - _BEFORE, 0)
    if "=" in text[max(at - _NEAR, 0) : at]:
        compared = _COMPARED.search(text, before, at)
        if compared is not None:
            return [(*compared.span("value"), "")]
    following = text[end : end + 1]
    if following.isspace() or following == "s":
        return _behind_words(text, before, at, end)
    if following == ">":
        element = _OF_ELEMENT.match(text, end)
        if element is not None and _ELEMENT.search(text, before, at):
            return [(*element.span("value"), "")]
    if following in {'"', "'", "\\"}:
        return _behind_quote(text, before, at, end)
    return []


def _behind_words(text: str, before: int, at: int, end: int) -> list[tuple[int, int, str]]:
    """Find the value of an option of a command, or one that a sentence tells."""
    gap = _GAP.match(text, end)
    if gap is not None and _OPTION.search(text, before, at):
        return _of_pair(text, gap)
    said = _SAID.match(text, end)
    return [(*said.span("value"), "")] if said is not None and _is_mixed(said["value"]) else []


def _behind_quote(text: str, before: int, at: int, end: int) -> list[tuple[int, int, str]]:
    """Find the value of a name that is in quotes: of a tuple, or of a mapping that is a pair."""
    pair = _OF_TUPLE.match(text, end)
    if pair is not None and _TUPLE.search(text, before, at):
        return [(*pair.span("value"), _quote_at(text, pair.start("value")))]
    closed = _NAMED_END.match(text, end)
    named = None if closed is None else _NAMED.search(text, before, at)
    if closed is None or named is None:
        return []
    return _behind(text, closed.end()) or _before(text, named.start())


def _is_mixed(value: str) -> bool:
    return len(_MIXED.findall(value)) >= _LEAST_MIXED and not _UUID.fullmatch(value)


def _behind(text: str, at: int) -> list[tuple[int, int, str]]:
    """Find the value of a pair behind its name, in the same braces."""
    stop = min(at + _WINDOW, len(text))
    while (found := _IN_BRACES.search(text, at, stop)) and found[0] not in {"{", "}"}:
        value = _VALUE.match(text, found.end() - 1)
        if value is not None:
            return _of_pair(text, value)
        at = _end_of_quoted(text, found.end(), found[0])
    return []


def _before(text: str, at: int) -> list[tuple[int, int, str]]:
    """Find the value of a pair before its name."""
    begin = max(at - _WINDOW, 0)
    begin = max(begin, text.rfind("{", begin, at), text.rfind("}", begin, at))
    values = list(_VALUE.finditer(text, begin, at))
    return _of_pair(text, values[-1]) if values else []


def _of_pair(text: str, value: re.Match[str]) -> list[tuple[int, int, str]]:
    start = value.end()
    end = end_of(text, start)
    return [(start, end, _quote_at(text, start))] if end > start else []


def end_of(text: str, start: int, bare: re.Pattern[str] = _BARE) -> int:
    """Find where the value ends that begins at ``start``.

    Args:
        text: the text.
        start: where the value begins.
        bare: what it is where it has neither quotes nor brackets.
    """
    prefix = _PREFIX.match(text, start)
    opening = prefix.end() if prefix else start
    if quote := _quote_at(text, opening):
        return _end_of_quoted(text, opening + len(quote), quote)
    if text[start : start + 1] in _CLOSING:
        return _end_of_brackets(text, start)
    found = bare.match(text, start)
    return found.end() if found else start


def _quote_at(text: str, at: int) -> str:
    found = _QUOTE.match(text, at)
    return found[0] if found else ""


def _end_of_quoted(text: str, start: int, quote: str) -> int:
    """Find the end of a quoted value: the same quote, not escaped; of a cut text its end."""
    at = text.find(quote, start)
    while at > start and text[at - 1] == "\\":
        at = text.find(quote, at + 1)
    return len(text) if at < 0 else at + len(quote)


def _end_of_brackets(text: str, start: int) -> int:
    """Find the bracket that closes the one at ``start``; of a cut text its end."""
    expected: list[str] = []
    at = start
    while found := _IN_BRACKETS.search(text, at):
        at = found.end()
        part = found[0]
        if part in _CLOSING:
            expected.append(_CLOSING[part])
        elif part[-1] in "\"'":
            at = _end_of_quoted(text, at, part)
        elif part == expected[-1]:
            expected.pop()
            if not expected:
                return at
    return len(text)
