"""TLS by HTTP: whom we trust, who we are, and what an operator hears where that does not do."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from otel_dify.export.sending.outcome import Delivered, Outcome, Retry
from tests.unit.sending.certificates import Authority, serving
from tests.unit.sending.conftest import To
from tests.unit.sending.receiver import OK, Receiver

BODY = b"the bytes of a request"
LARGE = b"\0" * 50_000_000
TIMEOUT_S = 20.0
CA = "OTEL_EXPORTER_OTLP_CERTIFICATE"
pytestmark = pytest.mark.timeout(60)


def reason(outcome: Outcome) -> str:
    """Return why a request has to be sent again."""
    assert isinstance(outcome, Retry)
    return outcome.reason


@pytest.fixture(scope="session")
def server(authority: Authority) -> ssl.SSLContext:
    """Return the context of a receiver on ``localhost``."""
    return serving(authority.sign("localhost"))


@pytest.fixture
def ca(authority: Authority) -> dict[str, str]:
    """Return the variable that makes us trust that receiver."""
    return {CA: str(authority.own.path)}


def test_an_authority_of_ones_own_is_trusted(
    to: To, server: ssl.SSLContext, ca: dict[str, str]
) -> None:
    with Receiver(context=server) as receiver:
        transport = to(receiver.url, **ca)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(3)] == [Delivered()] * 3
    assert receiver.accepted == 1


def test_a_receiver_that_nobody_vouches_for_gets_nothing(to: To, server: ssl.SSLContext) -> None:
    with Receiver(context=server) as receiver:
        told = reason(to(receiver.url).send(BODY, TIMEOUT_S))
    assert told.startswith(f"the certificate of localhost:{receiver.port} is not trusted (")
    assert told.endswith(f"name its authority in {CA}")
    assert receiver.requests == []


def test_an_authority_of_somebody_elses_does_not_do(
    to: To, server: ssl.SSLContext, stranger: Authority
) -> None:
    with Receiver(context=server) as receiver:
        outcome = to(receiver.url, **{CA: str(stranger.own.path)}).send(BODY, TIMEOUT_S)
    assert "is not trusted" in reason(outcome)
    assert receiver.requests == []


def test_a_certificate_for_another_name_does_not_do(
    to: To, authority: Authority, ca: dict[str, str]
) -> None:
    with Receiver(context=serving(authority.sign("other"))) as receiver:
        told = reason(to(receiver.url, **ca).send(BODY, TIMEOUT_S))
    assert "is not trusted (Hostname mismatch" in told
    assert receiver.requests == []


def test_an_address_of_numbers_is_checked_as_one(
    to: To, server: ssl.SSLContext, ca: dict[str, str]
) -> None:
    with Receiver(context=server) as receiver:
        url = f"https://127.0.0.1:{receiver.port}"
        assert to(url, **ca).send(BODY, TIMEOUT_S) == Delivered()


def test_what_requests_trusts_is_trusted_too(to: To, server: ssl.SSLContext, ca: Any) -> None:
    """The stock exporter goes through ``requests``, which reads variables of its own."""
    with Receiver(context=server) as receiver:
        outcome = to(receiver.url, REQUESTS_CA_BUNDLE=ca[CA]).send(BODY, TIMEOUT_S)
    assert outcome == Delivered()


def test_a_folder_of_authorities_will_do(
    to: To, server: ssl.SSLContext, authority: Authority, tmp_path: Path
) -> None:
    shutil.copy(authority.own.path, tmp_path)
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    with Receiver(context=server) as receiver:
        assert to(receiver.url, **{CA: str(tmp_path)}).send(BODY, TIMEOUT_S) == Delivered()


def test_a_client_shows_its_certificate(to: To, authority: Authority, ca: dict[str, str]) -> None:
    us = authority.sign("us")
    context = serving(authority.sign("localhost"), clients=authority)
    environ = ca | {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(us.path),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(us.key),
    }
    with Receiver(context=context) as receiver:
        assert to(receiver.url, **environ).send(BODY, TIMEOUT_S) == Delivered()


def test_the_key_may_be_in_the_file_of_the_certificate(
    to: To, authority: Authority, ca: dict[str, str], tmp_path: Path
) -> None:
    us = authority.sign("us-together")
    both = tmp_path / "both.pem"
    both.write_text(us.path.read_text() + us.key.read_text())
    context = serving(authority.sign("localhost"), clients=authority)
    with Receiver(context=context) as receiver:
        transport = to(receiver.url, **ca, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(both))
        assert transport.send(BODY, TIMEOUT_S) == Delivered()


def test_a_client_without_a_certificate_is_turned_away(
    to: To, authority: Authority, ca: dict[str, str]
) -> None:
    context = serving(authority.sign("localhost"), clients=authority)
    with Receiver(context=context) as receiver:
        told = reason(to(receiver.url, **ca).send(BODY, TIMEOUT_S))
    # What the receiver says of it may be lost where it hangs up on what we have sent meanwhile.
    assert told in {
        f"TLS with localhost:{receiver.port} failed (TLSV13_ALERT_CERTIFICATE_REQUIRED)",
        f"the connection to localhost:{receiver.port} failed (Connection reset by peer)",
    }
    assert receiver.requests == []


def test_a_file_that_there_is_not_is_named_and_taken_when_it_comes(
    to: To, server: ssl.SSLContext, authority: Authority, missing: Path
) -> None:
    with Receiver(context=server) as receiver:
        transport = to(receiver.url, **{CA: str(missing)})
        told = reason(transport.send(BODY, TIMEOUT_S))
        assert told == f"the file {missing} ({CA}) cannot be used: No such file or directory"
        shutil.copy(authority.own.path, missing)
        assert transport.send(BODY, TIMEOUT_S) == Delivered()


def test_a_renewed_authority_is_taken_without_a_restart(
    to: To, server: ssl.SSLContext, authority: Authority, stranger: Authority, missing: Path
) -> None:
    shutil.copy(stranger.own.path, missing)
    with Receiver(context=server) as receiver:
        transport = to(receiver.url, **{CA: str(missing)})
        assert "is not trusted" in reason(transport.send(BODY, TIMEOUT_S))
        shutil.copy(authority.own.path, missing)
        assert transport.send(BODY, TIMEOUT_S) == Delivered()


def test_a_renewed_certificate_of_ours_is_taken_without_a_restart(
    to: To, authority: Authority, stranger: Authority, ca: dict[str, str], missing: Path
) -> None:
    old, new = stranger.sign("us"), authority.sign("us-renewed")
    missing.write_text(old.path.read_text() + old.key.read_text())
    context = serving(authority.sign("localhost"), clients=authority)
    with Receiver(context=context) as receiver:
        transport = to(receiver.url, **ca, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=str(missing))
        reason(transport.send(BODY, TIMEOUT_S))
        missing.write_text(new.path.read_text() + new.key.read_text())
        assert transport.send(BODY, TIMEOUT_S) == Delivered()


def test_a_file_that_is_no_certificate_is_named(to: To, missing: Path) -> None:
    missing.write_text("no certificate")
    told = reason(to("https://localhost:1", **{CA: str(missing)}).send(BODY, TIMEOUT_S))
    assert told.startswith(f"the file {missing} ({CA}) cannot be used: ")


def test_a_key_with_a_password_is_named_and_nobody_is_asked_for_it(
    to: To, authority: Authority, ca: dict[str, str], tmp_path: Path
) -> None:
    us = authority.sign("us-locked")
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "ec", "-in", us.key, "-out", locked, "-aes256", "-passout", "pass:secret"],
        check=True,
        capture_output=True,
    )
    environ = ca | {
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": str(us.path),
        "OTEL_EXPORTER_OTLP_CLIENT_KEY": str(locked),
    }
    told = reason(to("https://localhost:1", **environ).send(BODY, TIMEOUT_S))
    assert told == (
        f"the file {us.path} (OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE) cannot be used: "
        "its key has a password"
    )


def test_a_receiver_without_tls_is_told_apart(to: To) -> None:
    with Receiver(b"HTTP/1.1 400 Bad Request\r\n\r\n") as receiver:
        url = receiver.url.replace("http:", "https:")
        told = reason(to(url).send(BODY, TIMEOUT_S))
    assert told.startswith(f"TLS with localhost:{receiver.port} failed (")
    assert told.endswith("); does it speak TLS at all?")


def test_a_kept_connection_that_breaks_under_a_request_is_replaced_at_once(
    to: To, server: ssl.SSLContext, ca: dict[str, str]
) -> None:
    with Receiver(OK, lambda _: False, OK, context=server) as receiver:
        transport = to(receiver.url, **ca)
        assert [transport.send(BODY, TIMEOUT_S) for _ in range(2)] == [Delivered()] * 2
    assert [request.connection for request in receiver.requests] == [0, 0, 1]


def test_a_receiver_that_takes_a_large_request_steadily_and_slowly_is_left(
    to: To, server: ssl.SSLContext, ca: dict[str, str]
) -> None:
    """A timeout of its own for each record of TLS would let it go on to the end."""
    taken: list[int] = []

    def slowly(talking: Any) -> bool:
        # So that it takes steadily, and not much at once and then nothing for long.
        talking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        while sum(taken) < len(LARGE) and not receiver.ending.wait(0.005):
            taken.append(len(talking.recv(16_384)))
        return False

    with Receiver(slowly, context=server, reads_bodies=False) as receiver:
        transport = to(receiver.url, **ca, OTEL_EXPORTER_OTLP_COMPRESSION="none")
        told = reason(transport.send(LARGE, 0.5))
        seen = sum(taken)
    assert told.endswith("has not answered within 0.5 s")
    assert seen < len(LARGE) / 2
