"""TLS: whom we trust and who we are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssl import SSLContext

_CA = "OTEL_EXPORTER_OTLP_CERTIFICATE"
_CLIENT = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"


class Unusable(Exception):  # noqa: N818 - it is a file that is unusable, not a fault of the program
    """A file of ours cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files; empty where there is none.

    They are read with the first connection, and again where TLS has failed, so that a renewed
    certificate needs no restart.

    Attributes:
        authorities: those that the receiver's certificate is checked against; also a folder, as
            OpenSSL's ``c_rehash`` makes it.
        certificate: ours, with what leads to its authority.
        key: its private key; empty where it is in the same file.
    """

    authorities: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> SSLContext:
        """Make what Python's ``ssl`` needs.

        Without authorities of our own, the system's and certifi's are trusted: images have the
        one or the other.

        Raises:
            Unusable: a file cannot be used.
        """
        from urllib3.util import create_urllib3_context

        made = create_urllib3_context()
        if self.authorities:
            folder = Path(self.authorities).is_dir()
            try:
                made.load_verify_locations(
                    cafile=None if folder else self.authorities,
                    capath=self.authorities if folder else None,
                )
            except OSError as error:
                raise Unusable(_cannot(_CA, self.authorities, error)) from error
        else:
            made.load_default_certs()
            _trust_certifi(made)
        if self.certificate:
            try:
                made.load_cert_chain(self.certificate, self.key or None, password=_no_password)
            except (OSError, ValueError) as error:
                raise Unusable(_cannot(_CLIENT, self.certificate, error)) from error
        return made

    def contents(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Read the files, as gRPC wants them: authorities, key, certificate.

        Raises:
            Unusable: a file cannot be read.
        """
        return (
            _read(_CA, self.authorities),
            _read("OTEL_EXPORTER_OTLP_CLIENT_KEY", self.key or self.certificate),
            _read(_CLIENT, self.certificate),
        )


def _trust_certifi(context: SSLContext) -> None:
    try:
        import certifi
    except ImportError:
        return
    context.load_verify_locations(certifi.where())


def _no_password() -> str:
    # OpenSSL would ask for it on the terminal.
    raise ValueError("its key has a password")


def _read(variable: str, path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise Unusable(_cannot(variable, path, error)) from error


def _cannot(variable: str, path: str, error: Exception) -> str:
    return f"the file {path} ({variable}) cannot be used: {getattr(error, 'strerror', '') or error}"
