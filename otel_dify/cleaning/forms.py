"""Forms of secrets: what keys and tokens of known issuers look like, whatever stands around them.

Issuers give them a prefix so that they can be told from anything else (GitHub's "Behind GitHub's
new authentication token formats", 2021; the documentation of each). Lengths here are lower bounds.
Keys without a prefix, such as Cohere's and Azure's older ones, look like any hash: those are known
by their names only.
"""

from __future__ import annotations

import re

# Prefix, and what follows it. ``w`` stands for letters, digits, ``_`` and ``-``; ``a`` for letters
# and digits; ``h`` for hexadecimal digits; ``t`` for ``w`` and dots.
_PREFIXED = """
sk-ant- w{20,}
sk-proj- w{16,}
sk-svcacct- w{16,}
sk-admin- w{16,}
sk-None- w{16,}
sk-or-v1- w{16,}
sk-lf- w{16,}
sk-cp- w{16,}
sk-kimi- w{16,}
sk-api- w{16,}
sk- a{20,}
sk- a{6,12}T3BlbkFJa{6,}
sess- a{40,}
csk- a{32,}
sk_live_ a{10,}
sk_test_ a{10,}
rk_live_ a{10,}
rk_test_ a{10,}
pk_live_ a{10,}
pk_test_ a{10,}
whsec_ a{20,}
AIza w{30,}
AQ. w{30,}
ya29. t{20,}
GOCSPX- w{20,}
AKIA [A-Z0-9]{16}
ASIA [A-Z0-9]{16}
ABIA [A-Z0-9]{16}
ACCA [A-Z0-9]{16}
ABSK a{40,}
bedrock-api-key- w{20,}
amzn.mws. w{30,}
LTAI a{12,26}
AKID a{13,40}
AKLT w{20,}
ALTAK- w{16,}
app- a{24}
dataset- a{24}
ghp_ a{30,}
gho_ a{30,}
ghu_ a{30,}
ghs_ a{30,}
ghr_ a{30,}
github_pat_ w{22,}
glpat- t{20,}
glptt- w{20,}
gldt- w{20,}
glrt- t{20,}
glcbt- w{20,}
glft- w{20,}
glsoat- w{20,}
glimt- w{20,}
glagent- w{20,}
gloas- w{20,}
glffct- w{20,}
GR1348941 w{20,}
xoxa- w{10,}
xoxb- w{10,}
xoxc- w{10,}
xoxd- w{10,}
xoxe- w{10,}
xoxe. t{10,}
xoxo- w{10,}
xoxp- w{10,}
xoxr- w{10,}
xoxs- w{10,}
xapp- w{20,}
hf_ a{30,}
api_org_ a{30,}
gsk_ a{30,}
xai- a{40,}
pplx- a{32,}
r8_ a{30,}
fw_ a{20,}
tgp_v1_ w{30,}
esecret_ a{20,}
nvapi- w{40,}
jina_ w{40,}
tvly- w{16,}
pa- w{40,}
fc- h{32}
lsv2_pt_ w{32,}
lsv2_sk_ w{32,}
ls__ a{20,}
pcsk_ w{40,}
e2b_ h{40}
pat_ a{40,}
dapi h{32}
ntn_ a{40,}
secret_ a{40,}
lin_api_ a{30,}
lin_oauth_ a{30,}
figd_ w{30,}
SG. w{16,}[.]w{20,}
key- h{32}
xkeysib- w{60,}
SK h{32}
npm_ a{30,}
pypi-AgE w{40,}
dop_v1_ h{60,}
doo_v1_ h{60,}
dor_v1_ h{60,}
shpat_ h{32}
shpss_ h{32}
shpca_ h{32}
shppa_ h{32}
sq0atp- w{20,}
sq0csp- w{40,}
EAAA w{58,}
EAA a{80,}
rubygems_ h{40,}
dckr_pat_ w{20,}
dckr_oat_ w{20,}
sntrys_ w{40,}
sntryu_ h{60,}
glc_ a{30,}
glsa_ w{30,}
hvs. w{20,}
hvb. w{20,}
ATATT3 w{60,}
ATCTT3 w{60,}
ATBB a{24,}
PMAK- w{30,}
dp.pt. a{40,}
dp.st. t{40,}
HRKU- w{30,}
NRAK- a{25,}
NRJS- h{19}
pscale_tkn_ t{30,}
pscale_pw_ t{30,}
pscale_oauth_ t{30,}
sbp_ h{40}
sb_secret_ w{20,}
fo1_ w{40,}
sgp_ w{40,}
sl. w{100,}
AKCp a{60,}
ops_eyJ w{100,}
EZAK a{50,}
tfp_ w{40,}
rdme_ a{60,}
pnu_ a{36}
phc_ a{40,}
phx_ a{40,}
shippo_live_ h{40}
AGE-SECRET-KEY-1 a{50,}
CLOJARS_ a{60}
fio-u- w{60,}
sm_pat_ a{16}
sm_aat_ a{16}
eyJrIjoi a{60,}
eyJ w{10,}[.]w{10,}(?:[.]w{0,}){0,3}
"""
_CLASSES = {"w": "[A-Za-z0-9_-]", "a": "[A-Za-z0-9]", "h": "[0-9a-fA-F]", "t": "[A-Za-z0-9_.-]"}
# Those that may come behind something else in one word; all others begin a word.
_INNER = (
    *("sk-ant-", "sk-proj-", "sk-svcacct-", "sk_live_", "rk_live_", "AIza", "AKIA", "ASIA"),
    *("ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "hf_", "gsk_", "eyJ"),
)


def _body(form: str) -> str:
    """Write the expression that a form stands for."""
    return re.sub(r"([waht])(?=\{)", lambda found: _CLASSES[found[1]], form)


ROWS = tuple((prefix, _body(form)) for prefix, form in map(str.split, _PREFIXED.split("\n")[1:-1]))
"""Every form: its prefix, and the expression of what follows."""
# Letters and digits do not go on behind one of a fixed length.
_END = "(?![A-Za-z0-9])"


def _by_beginning() -> dict[bytes, tuple[re.Pattern[bytes], ...]]:
    """Order the forms by their first two characters."""
    found: dict[bytes, list[re.Pattern[bytes]]] = {}
    for prefix, body in ROWS:
        expression = re.compile(f"{re.escape(prefix)}{body}{_END}".encode())
        found.setdefault(prefix[:2].encode(), []).append(expression)
    return {beginning: tuple(several) for beginning, several in found.items()}


_BY_BEGINNING = _by_beginning()
_INNER_START = re.compile(f"[-_.](?={'|'.join(map(re.escape, _INNER))})".encode())
# Without a prefix, but of a form that nothing else has: Zhipu's keys, Terraform's, Azure's with
# their signature, Airtable's, Discord's and Mailchimp's.
_WHOLE = re.compile(
    rb"[0-9a-f]{32}\.[A-Za-z0-9]{16}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{40,}|"
    rb"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|[MNO][A-Za-z0-9]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}|"
    rb"[A-Za-z0-9]{40,60}JQQJ99[A-Za-z0-9]{20,30}|[0-9a-f]{32}-us[0-9]{1,2}"
)
# An issuer that is not listed: a short prefix, and behind it what only chance writes.
_UNLISTED = re.compile(
    rb"[a-z][a-z0-9]{1,9}(?:[_-][a-z0-9]{1,6}){0,2}[_-]"
    rb"(?=[a-z0-9]*[A-Z])(?=[A-Z0-9]*[a-z])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{32,}"
)
# Ids of answers, calls and files of model providers have that form and are none.
_IDS = (
    *(b"chatcmpl", b"cmpl", b"resp", b"msg", b"call", b"toolu", b"tool", b"req", b"run", b"rs"),
    *(b"thread", b"file", b"asst", b"step", b"batch", b"vs", b"fp", b"fc", b"ws", b"ig", b"evt"),
    *(b"event", b"trace", b"span", b"id", b"chat", b"gen", b"emb", b"modr", b"srvtoolu"),
)
_ESCAPED = re.compile(rb"(?:[nrtbf]|u[0-9A-Fa-f]{4}|[0-9A-Fa-f]{2})")
_COLOUR = re.compile(rb"[0-9]{1,2}m")


def secret_in(raw: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Find a secret in a word of letters, digits, ``_``, ``-`` and dots.

    Args:
        raw: the text that the word is in, UTF-8.
        start: where the word begins.
        end: where it ends.

    Returns:
        Where the secret begins and ends; none where there is none.
    """
    for at in _starts(raw, start, end):
        for form in _BY_BEGINNING.get(raw[at : at + 2], ()):
            if found := form.match(raw, at, end):
                return found.span()
    found = _WHOLE.match(raw, start, end)
    if found is None and (unlisted := _UNLISTED.match(raw, start, end)) is not None:
        found = None if re.split(rb"[_-]", unlisted[0], maxsplit=1)[0] in _IDS else unlisted
    if found is not None:
        return found.span()
    before = raw[max(start - 9, 0) : start]
    if _SCHEME.search(before):
        return start, end
    # Microsoft Entra's client secrets (abc8Q~…) and the tokens of Telegram's bots (1234:AA…).
    if before.endswith(b"Q~") or (
        before[-1:] == b":" and before[-2:-1].isdigit() and raw[start : start + 2] == b"AA"
    ):
        return (start, end) if end - start >= _LONG else None
    return None


_LONG = 31
# Schemes of HTTP's authorization: what follows one is a secret, whatever its form.
_SCHEME = re.compile(rb"(?:bearer|basic)(?: {1,2}|%20|\+)$", re.IGNORECASE)


def _starts(raw: bytes, start: int, end: int) -> list[int]:
    """Find where in a word a secret may begin: first, and behind what is no part of it."""
    starts = [start]
    before = raw[start - 1 : start] if start else b""
    if before in {b"\\", b"%"} and (escaped := _ESCAPED.match(raw, start, end)):
        starts.append(escaped.end())
    elif before == b"[" and (colour := _COLOUR.match(raw, start, end)):
        starts.append(colour.end())
    if inner := _INNER_START.search(raw, start, end):
        starts.append(inner.end())
    return starts
