"""``error_context``: what is said of an exception, once, and that it goes on as it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from otel_dify import error_context, observe
from otel_dify.process import process
from tests.recording import Recording


class Broken(Exception):  # noqa: N818 - it is short
    """What goes wrong."""


class Closed(Exception):  # noqa: N818 - the same
    """Takes no attributes."""

    __slots__ = ()


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno == logging.ERROR]


def fail(how: str) -> None:
    """Fail within a context of a sort."""
    error = Broken("card refused")
    if how == "with":
        with error_context("charge the card", order="A-17"):
            raise error
    if how == "async with":

        async def block() -> None:
            async with error_context("charge the card", order="A-17"):
                await asyncio.sleep(0)
                raise error

        asyncio.run(block())
    if how == "function":

        @error_context("charge the card", order="A-17")
        def charge() -> None:
            """Charge."""
            raise error

        assert charge.__doc__ == "Charge."
        charge()
    if how == "coroutine":

        @error_context("charge the card", order="A-17")
        async def charge_async() -> None:
            await asyncio.sleep(0)
            raise error

        asyncio.run(charge_async())


@pytest.mark.parametrize("how", ["with", "async with", "function", "coroutine"])
def test_an_exception_is_told_of_with_what_is_known_and_goes_on(
    recorded: Recording, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    with pytest.raises(Broken, match="card refused") as raised, observe("buy"):
        fail(how)
    assert raised.value.__cause__ is raised.value.__context__ is None
    [record] = errors(caplog)
    assert record.getMessage() == "charge the card failed (Broken: card refused)"
    assert record.exc_info is not None
    assert record.exc_info[1] is raised.value
    assert vars(record)["order"] == "A-17"
    assert vars(record)["error_type"] == "Broken"
    assert vars(record)["error_category"] == "internal"
    assert len(vars(record)["error_fingerprint"]) == 16
    # A thread of asyncio.run has the operation as well.
    assert recorded.attributes("buy")["order"] == "A-17"
    assert recorded.attributes("buy")["error.type"] == "Broken"


def test_it_is_told_once_however_many_contexts_it_leaves(
    recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        pytest.raises(Broken),
        observe("buy"),
        error_context("serve", shop="a"),
        error_context("charge", order="A-17"),
    ):
        raise Broken
    assert [one.getMessage() for one in errors(caplog)] == ["charge failed (Broken: )"]
    known = recorded.attributes("buy")
    assert (known["order"], known["shop"]) == ("A-17", "a")


def test_the_same_error_has_the_same_fingerprint(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with pytest.raises(Broken):
            fail("with")
    first, second = (vars(one)["error_fingerprint"] for one in errors(caplog))
    assert first == second


def test_names_that_a_log_record_has_itself_are_moved_aside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(Broken), error_context("charge", name="ada", message="x", args=1):
        raise Broken
    [record] = errors(caplog)
    assert vars(record)["context_name"] == "ada"
    assert vars(record)["context_message"] == "x"
    assert vars(record)["context_args"] == 1


def test_an_exception_that_takes_no_attributes_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Closed), error_context("charge"):
        raise Closed
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_a_program_is_no_error(
    caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), error_context("charge"):
        raise kind
    assert errors(caplog) == []


def test_what_ends_well_says_nothing_and_returns_what_it_did(
    recorded: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    @error_context("charge")
    def charge(value: int) -> int:
        return value + 1

    with observe("buy"):
        assert charge(1) == 2
    assert caplog.records == []
    assert not recorded.span("buy").events


def test_without_telemetry_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    assert process.recording() is None
    with pytest.raises(Broken):
        fail("function")
    [record] = errors(caplog)
    assert record.name == __name__


def test_a_generator_is_refused() -> None:
    def pieces() -> Iterator[int]:
        yield 1

    with pytest.raises(TypeError, match="put this around its pieces"):
        error_context("give")(pieces)
