"""Asking a backend over HTTP: one GET, one JSON answer, errors as sentences."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from otel_dify.cli.web import Unanswered, get

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS = 30.0
_NOT_FOUND = 404
_OK = 200
_SHOWN = 300


class BackendError(Exception):
    """A backend that does not answer, or not with what was asked for; the message is a sentence."""


class NotThereError(BackendError):
    """The backend answered 404."""


@contextmanager
def understood(url: str, what: str) -> Iterator[None]:
    """Read an answer; one that is not as it should be is an error of the backend's.

    Raises:
        BackendError: something is missing in it, or of another type.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackendError(
            f"{url} does not answer as {what} does ({type(error).__name__}: {error}): is that its "
            "query API?"
        ) from error


class Backend:
    """A backend's query API.

    Attributes:
        url: its address, without a slash at the end.

    Args:
        url: its address.
        headers: sent with every request, such as ``{"Authorization": "Bearer …"}``.
    """

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        self._headers = dict(headers)

    def get(self, path: str, **parameters: str | int) -> Any:
        """Ask for a path.

        Returns:
            the answer, parsed; a list of them where it has several documents.

        Raises:
            NotThereError: the answer is 404.
            BackendError: there is no answer, it is an error, or no JSON.
        """
        address = f"{self.url}{path}"
        asked = {name: str(value) for name, value in parameters.items()}
        try:
            answer = get(address, _SECONDS, asked, headers=self._headers)
        except Unanswered as error:
            raise BackendError(f"{address} does not answer ({error})") from error
        text = answer.body.decode("utf-8", errors="replace")
        if answer.status == _NOT_FOUND:
            raise NotThereError(f"{address} answered 404")
        if answer.status != _OK:
            raise BackendError(f"{address} answered {answer.status}: {text[:_SHOWN]}")
        try:
            documents = list(_documents(text))
        except ValueError:
            raise BackendError(
                f"{address} does not answer in JSON: is that the address of a query API?"
            ) from None
        return documents[0] if len(documents) == 1 else documents


def _documents(text: str) -> Iterator[Any]:
    """Parse documents that follow each other, as gRPC gateways stream them."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        yield document
        while text[at : at + 1].isspace():
            at += 1
