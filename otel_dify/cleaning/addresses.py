"""Secrets in addresses: passwords, tokens in place of a user, signed queries, webhooks."""

from __future__ import annotations

import re

from otel_dify.cleaning.named import MASK

# The password may have anything in it but blanks and quotes. A port, which stands at the same
# place, is followed by the path.
_PASSWORD = re.compile(
    r"(?<=://)(?P<user>[^\s/:@\"',]{0,256}):(?!\d{1,5}[/?#])[^\s\"'<>,]{1,256}@(?=[\w.\[%-])"
)
_USER = re.compile(r"(?<=://)(?=[A-Za-z0-9_-]{0,64}\d)[A-Za-z0-9_-]{20,256}@")
# Names that mean a secret in a query and much else elsewhere.
_IN_QUERY = re.compile(
    r"(?<=[?&;])(?P<name>(?:amp;)?(?:x-amz-|x-goog-|x-oss-|x-cos-|q-)?"
    r"(?:key|sig|sign|signature|code|auth|ticket|sid|session(?:_?id)?|jwt|otp|hmac|hash|pass|ak|sk)"
    r")=[^&\s\"'#<>;]+",
    re.IGNORECASE,
)
# Whoever has one of these addresses may post.
_WEBHOOK = re.compile(
    r"(?P<before>hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/|"
    r"discord(?:app)?\.com/api/webhooks/\d{1,24}/|"
    r"(?:feishu\.cn|larksuite\.com)/open-apis/bot/v\d/hook/|"
    r"webhook\.office\.com/webhookb?\d?/|api\.telegram\.org/bot|"
    r"hooks\.zapier\.com/hooks/catch/|hook\.[\w.]{0,20}make\.com/)[\w@:/.+-]+"
)


def mask_addresses(text: str) -> str:
    """Mask the secrets in the addresses of a text."""
    text = _PASSWORD.sub(rf"\g<user>:{MASK}@", text)
    text = _USER.sub(f"{MASK}@", text)
    return _WEBHOOK.sub(rf"\g<before>{MASK}", text)


def mask_query(text: str) -> str:
    """Mask the signatures and keys in the queries of a text, an address before them or not."""
    return _IN_QUERY.sub(rf"\g<name>={MASK}", text)
