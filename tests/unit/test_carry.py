"""What Dify starts in bare threads and executors stays in the trace that started it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from types import ModuleType
from typing import Any

from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from otel_dify.sources import carry
from tests.recording import Recording


def test_a_method_that_is_a_threads_target_runs_in_the_context_it_is_looked_up_in(
    recorded: Recording,
) -> None:
    del recorded
    seen: list[Operation | None] = []

    class OutputModeration:
        def worker(self) -> None:
            seen.append(current())

    module = ModuleType("core.moderation.output_moderation")
    module.OutputModeration = OutputModeration  # type: ignore[attr-defined] # a module made here
    carry.attach(module)

    request = start(t.REQUEST)
    with request.active():
        thread = Thread(target=OutputModeration().worker)
    thread.start()
    thread.join()
    assert seen == [request]


def test_what_an_executor_is_given_runs_in_the_context_of_its_keeper(recorded: Recording) -> None:
    """The answer is spoken by three threads, which the publisher of a streamed answer keeps."""
    del recorded

    class AppGeneratorTTSPublisher:
        def __init__(self) -> None:
            self.executor = ThreadPoolExecutor(1)

        def speak(self, function: Callable[..., Any], *given: Any) -> Future[Any]:
            """Hand a sentence over, from a thread without any context."""
            handed: list[Future[Any]] = []
            thread = Thread(target=lambda: handed.append(self.executor.submit(function, *given)))
            thread.start()
            thread.join()
            return handed[0]

        def _runtime(self) -> None:
            """Stand for what collects the sentences."""

    module = ModuleType("core.base.tts.app_generator_tts_publisher")
    module.AppGeneratorTTSPublisher = AppGeneratorTTSPublisher  # type: ignore[attr-defined] # a module made here
    carry.attach(module)

    request = start(t.REQUEST)
    with request.active():
        publisher = AppGeneratorTTSPublisher()
    assert publisher.speak(lambda text: (text, current()), "hello").result() == ("hello", request)
    publisher.executor.shutdown()
