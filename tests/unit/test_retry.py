"""``retry``: how often, how long apart, what is said of it, and what is never tried again."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_dify import observe, retry
from otel_dify.process import process
from tests.recording import Recording


class Flaky:
    """Fails a number of times, and then answers.

    Args:
        errors: what it raises, one call after the other.
    """

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.calls = 0

    def __call__(self, value: int) -> int:
        """Fail, or add one."""
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return value + 1


def run(flaky: Flaky, *, is_async: bool, **options: Any) -> tuple[int, list[float]]:
    """Retry it, and return its result and what was waited."""
    waited: list[float] = []
    options = {"sleep": waited.append, "jitter": 0.0, **options}
    if not is_async:

        @retry(**options)
        def fetch(value: int) -> int:
            """Fetch."""
            return flaky(value)

        assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch.")
        return fetch(1), waited

    @retry(**options)
    async def fetch_async(value: int) -> int:
        await asyncio.sleep(0)
        return flaky(value)

    return asyncio.run(fetch_async(1)), waited


both = pytest.mark.parametrize("is_async", [False, True])


@both
def test_it_is_tried_again_longer_apart_each_time(*, is_async: bool) -> None:
    flaky = Flaky(OSError("1"), OSError("2"), OSError("3"))
    result, waited = run(flaky, is_async=is_async, attempts=4, wait_s=1.0, factor=3.0, most_s=5.0)
    assert (result, flaky.calls) == (2, 4)
    assert waited == [1.0, 3.0, 5.0]


@both
def test_the_last_failure_goes_on_as_it_was_raised(*, is_async: bool) -> None:
    last = OSError("last")
    with pytest.raises(OSError, match="last") as raised:
        run(Flaky(OSError("first"), last), is_async=is_async, attempts=2)
    assert raised.value is last
    assert last.__context__ is None


@both
@pytest.mark.parametrize(
    "error",
    [
        KeyError("another kind"),
        KeyboardInterrupt(),
        type("SoftTimeLimitExceeded", (OSError,), {})(),
        type("GenerateTaskStoppedError", (OSError,), {})(),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_not_worth_another_try_is_not_tried(
    error: BaseException, *, is_async: bool
) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        run(flaky, is_async=is_async, on=(OSError,))
    assert flaky.calls == 1


def test_a_cancelled_coroutine_is_not_tried_again() -> None:
    calls = []

    @retry(sleep=lambda _: None)
    async def wait() -> None:
        calls.append(1)
        await asyncio.sleep(3600)

    async def main() -> None:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert calls == [1]


def test_sleep_may_be_asynchronous() -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)
        waited.append(seconds)

    flaky = Flaky(OSError())
    assert run(flaky, is_async=True, sleep=sleep, wait_s=2.0)[0] == 2
    assert waited == [2.0]


@given(
    wait_s=st.floats(0.001, 10),
    factor=st.floats(1, 1000),
    jitter=st.floats(0, 1),
    seed=st.integers(),
)
def test_waits_are_within_their_bounds(
    wait_s: float, factor: float, jitter: float, seed: int
) -> None:
    options = {"wait_s": wait_s, "factor": factor, "jitter": jitter, "most_s": 20.0}
    chosen = {**options, "attempts": 300, "random": random.Random(seed).random}  # noqa: S311 - seeded
    errors = [OSError() for _ in range(299)]
    process_log = logging.getLogger(__name__)
    process_log.disabled = True
    try:
        _, waited = run(Flaky(*errors), is_async=False, **chosen)
        _, again = run(
            Flaky(*[OSError() for _ in range(299)]),
            is_async=False,
            **{**chosen, "random": random.Random(seed).random},  # noqa: S311 - seeded
        )
    finally:
        process_log.disabled = False
    assert len(waited) == 299
    assert all(0 <= one <= 20.0 for one in waited)
    assert waited[0] >= wait_s * (1 - jitter) - 1e-9
    # The same seed, the same waits.
    assert again == waited


@both
def test_each_attempt_is_in_the_log_and_on_the_operation(
    recorded: Recording, caplog: pytest.LogCaptureFixture, *, is_async: bool
) -> None:
    with caplog.at_level(logging.INFO), observe("outer"):
        run(Flaky(OSError("away"), OSError("still")), is_async=is_async, wait_s=1.0)
    lines = [(one.levelname, one.name) for one in caplog.records if one.name == __name__]
    assert lines == [("WARNING", __name__)] * 2
    assert "failed (OSError: away), attempt 1 of 3; again in 1.00 s" in caplog.text
    assert "failed (OSError: still), attempt 2 of 3; again in 2.00 s" in caplog.text
    span = recorded.span("outer")
    assert [(e.name, dict(e.attributes or {})["error.type"]) for e in span.events] == [
        ("retry", "OSError"),
        ("retry", "OSError"),
    ]
    assert span.status.is_ok or span.status.is_unset


def test_giving_up_is_an_error_in_the_log_and_one_call_alone_is_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(OSError, match="b"):
        run(Flaky(OSError("a"), OSError("b")), is_async=False, attempts=2)
    assert [one.levelname for one in caplog.records] == ["WARNING", "ERROR"]
    assert "failed for good, 2 times (OSError: b)" in caplog.text
    caplog.clear()
    with pytest.raises(OSError, match="a"):
        run(Flaky(OSError("a")), is_async=False, attempts=1)
    assert caplog.records == []


def test_it_retries_without_telemetry() -> None:
    assert process.recording() is None
    assert run(Flaky(OSError()), is_async=False)[0] == 2


class Client:
    """A class whose methods are retried."""

    tries = 0

    @retry(sleep=lambda _: None)
    def fetch(self) -> str:
        """Belong to an instance."""
        return self._try()

    @classmethod
    @retry(sleep=lambda _: None)
    def of_class(cls) -> str:
        """Belong to the class."""
        return cls()._try()

    @retry(sleep=lambda _: None)
    @staticmethod
    def of_none() -> str:
        """Belong to nothing."""
        return Client()._try()

    def _try(self) -> str:
        Client.tries += 1
        if Client.tries < 3:
            raise OSError
        return "well"


@pytest.mark.parametrize(
    "call", [lambda: Client().fetch(), Client.of_class, Client.of_none], ids=["self", "cls", "none"]
)
def test_methods_are_retried(monkeypatch: pytest.MonkeyPatch, call: Callable[[], str]) -> None:
    monkeypatch.setattr(Client, "tries", 0)
    assert call() == "well"
    assert Client.tries == 3


def test_without_parentheses_it_is_tried_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("otel_dify.retrying.time.sleep", waited.append)
    flaky = Flaky(OSError(), OSError())

    @retry
    def fetch() -> int:
        return flaky(1)

    assert fetch() == 2
    assert 0.25 <= waited[0] <= 0.5 <= waited[1] <= 1.0


def test_what_cannot_be_retried_is_refused_at_once() -> None:
    def pieces() -> Iterator[int]:
        yield 1

    async def async_pieces() -> AsyncIterator[int]:
        yield 1

    for function in (pieces, async_pieces):
        with pytest.raises(TypeError, match="cannot be taken back"):
            retry(function)
    for options in ({"attempts": 0}, {"jitter": 1.5}):
        with pytest.raises(ValueError, match="must be"):
            retry(**options)
