"""Redaction: no value under the name of a secret survives, and nothing else is touched."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify.cleaning.named import MASK
from otel_dify.cleaning.names import names_a_secret
from otel_dify.cleaning.redaction import mask, mask_text

SECRET_KEYS = (
    "password",
    "api_key",
    "apiKey",
    "api-key",
    "API_KEY",
    "X-Api-Key",
    "openai_api_key",
    "openaiApiKey",
    "token",
    "access_token",
    "accessToken",
    "userAccessToken",
    "refresh_token",
    "secret",
    "client_secret",
    "clientSecret",
    "SECRET_KEY",
    "aws_secret_access_key",
    "private_key",
    "Authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "credentials",
    "db.password",
)
# In a request the value of these goes on to the end of the line.
HEADERS = ("authorization", "proxy-authorization", "cookie", "set-cookie")
OTHER_KEYS = (
    "total_tokens",
    "max_tokens",
    "prompt_tokens",
    "tokenizer",
    "secretary",
    "key",
    "keyboard",
    "monkey",
    "author",
    "passenger",
    "pass",
    "cookies_accepted",
)

# A secret that could not be there by chance.
secrets = st.text(string.ascii_letters + string.digits + "-_.+/!$%", min_size=8, max_size=24).map(
    lambda text: f"S3CR{text}T"
)
quoted_secrets = st.text(
    string.ascii_letters + "\"'\\ ,;&}]{[:=\n\u00e9\u4e2d", min_size=1, max_size=16
).map(lambda text: f"S3CR{text}S3CR")
keys = st.sampled_from(SECRET_KEYS)
plain_keys = st.sampled_from(OTHER_KEYS)
plain_text = st.text(string.ascii_letters + string.digits + " .,:;-", max_size=30)
# Of eleven digits they have the form of phones, and of cards.
numbers = st.integers(-(10**9), 10**9)
fillers = st.one_of(plain_text, numbers, st.booleans(), st.none(), st.floats(allow_nan=False))


def holders(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make containers of any depth that hold ``value`` under the name of a secret."""
    held = st.builds(lambda key, inner: {key: inner}, keys, value)

    def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(
            st.builds(lambda one, rest: [*rest, one], inner, st.lists(fillers, max_size=2)),
            st.builds(lambda one: (one,), inner),
            st.builds(
                lambda key, one, rest: {**rest, key: one},
                plain_keys,
                inner,
                st.dictionaries(plain_keys, fillers, max_size=2),
            ),
        )

    return st.recursive(held, around, max_leaves=4)


def inside(secret: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Make what may lie under the name of a secret: the secret, alone or in something."""
    return st.one_of(
        secret,
        st.builds(lambda one: [one, one], secret),
        st.builds(lambda one: {"type": "bearer", "value": one}, secret),
        st.builds(lambda one: {"config": [{"value": one}]}, secret),
    )


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_names_that_operators_mask_are_known(key: str) -> None:
    assert names_a_secret(key)
    assert mask({key: "x"}, 1000) == {key: MASK}
    assert mask_text(f"{key}=x") == f"{key}={MASK}"


@pytest.mark.parametrize("key", OTHER_KEYS)
def test_names_that_only_look_alike_are_none(key: str) -> None:
    assert not names_a_secret(key)
    assert mask({key: "x"}, 1000) == {key: "x"}
    assert mask_text(f"{key}=x {key}: 5") == f"{key}=x {key}: 5"


@given(holders(inside(quoted_secrets)))
def test_no_secret_survives_in_a_container(value: Any) -> None:
    assert "S3CR" not in str(mask(value, 1000))


@given(holders(inside(quoted_secrets)))
def test_no_secret_survives_in_json(value: Any) -> None:
    """Neither as text of its own nor within a sentence, nor with another JSON around it."""
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert "S3CR" not in mask_text(text)
        assert "S3CR" not in mask_text(f"POST /x failed: {text}, giving up")
        assert "S3CR" not in mask_text(json.dumps({"body": text}))
        assert "S3CR" not in mask_text(json.dumps([json.dumps({"body": text})]))


@given(holders(inside(quoted_secrets)))
def test_no_secret_survives_in_the_repr_of_python(value: Any) -> None:
    assert "S3CR" not in mask_text(repr(value))
    assert "S3CR" not in mask_text(f"got {value!r} from")


@given(
    keys.filter(lambda key: key.lower() not in HEADERS),
    secrets,
    st.sampled_from(["=", ": ", " = ", ":"]),
)
def test_no_secret_survives_in_plain_text(key: str, secret: str, sign: str) -> None:
    assert mask_text(f"user=ada {key}{sign}{secret} x=1") == f"user=ada {key}{sign}{MASK} x=1"


@given(keys, secrets)
def test_no_secret_survives_in_the_address_of_a_request(key: str, secret: str) -> None:
    text = f"GET https://host/path?user=ada&{key}={secret}&page=2 failed"
    assert mask_text(text) == f"GET https://host/path?user=ada&{key}={MASK}&page=2 failed"


@given(secrets)
def test_no_secret_survives_in_the_address_of_a_server(secret: str) -> None:
    text = f"cannot connect to postgresql://dify:{secret.replace('/', '')}@db:5432/dify"
    assert mask_text(text) == f"cannot connect to postgresql://dify:{MASK}@db:5432/dify"


@given(st.sampled_from(["Bearer ", "Basic ", "ApiKey ", "Digest realm=x, response=", ""]), secrets)
def test_no_secret_survives_in_a_header(scheme: str, secret: str) -> None:
    assert secret not in mask_text(f"Authorization: {scheme}{secret}\r\nAccept: */*")
    assert "Accept: */*" in mask_text(f"Authorization: {scheme}{secret}\r\nAccept: */*")
    assert secret not in mask_text(f"sent {{'Authorization': '{scheme}{secret}'}}")


@given(secrets)
def test_no_secret_survives_among_cookies(secret: str) -> None:
    text = f"GET / HTTP/1.1\r\nCookie: theme=dark; session={secret}\r\nAccept: */*"
    assert mask_text(text) == f"GET / HTTP/1.1\r\nCookie: {MASK}\r\nAccept: */*"


@given(keys, st.sampled_from(['"', "'"]), quoted_secrets)
def test_no_secret_survives_where_its_text_was_cut(key: str, quote: str, secret: str) -> None:
    """Content and messages are cut at a limit: the closing quote may be gone."""
    assert "S3CR" not in mask_text(f"{{{quote}{key}{quote}: {quote}{secret.replace(quote, '')}")


@given(st.dictionaries(plain_keys, st.recursive(fillers, st.lists, max_leaves=5)))
def test_what_is_no_secret_is_unchanged(value: dict[str, Any]) -> None:
    assert mask(value) == value
    assert mask_text(json.dumps(value)) == json.dumps(value)


@given(plain_text)
def test_prose_is_unchanged(text: str) -> None:
    assert mask_text(text) == text


@given(keys)
def test_the_rest_of_a_json_text_stays_readable(key: str) -> None:
    """What is masked is the value: the text is JSON as before."""
    value = {"before": 1, key: {"type": "bearer", "x": ["a", 'b"c']}, "after": [True, "end"]}
    assert json.loads(mask_text(json.dumps(value))) == {**value, key: MASK}


@pytest.mark.parametrize("value", ["", None, 0, False, [], {}])
def test_that_a_secret_is_missing_can_be_seen(value: object) -> None:
    assert mask({"api_key": value}) == {"api_key": value}


def test_masking_a_container_leaves_the_original_alone() -> None:
    value = {"token": "x", "list": [{"secret": "y"}]}
    mask(value)
    assert value == {"token": "x", "list": [{"secret": "y"}]}


def test_masking_is_linear_in_the_text() -> None:
    """Texts that nearly match again and again take no more steps than their length asks for."""
    nearly = ("a-", "token", '"token": {', 'secret="', "token ", "\\", "key: {\\", "://a:")
    for text in (part * 40_000 for part in nearly):
        mask_text(text)
