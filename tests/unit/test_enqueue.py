"""A streamed run is enqueued in its request's context, by exactly one call of Dify's function."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.operations.current import current, start
from otel_dify.operations.operation import Operation
from otel_dify.sources.dify import messages
from tests.recording import Recording


@pytest.fixture
def service() -> Any:
    """Give Dify's service, attached; its calls are counted."""

    class AppGenerateService:
        calls = 0
        refuses = False

        @staticmethod
        def _build_streaming_task_on_subscribe(start_task: Callable[[], object]) -> object:
            AppGenerateService.calls += 1
            if AppGenerateService.refuses:
                raise ConnectionError("no Redis")
            return start_task

    module = ModuleType("services.app_generate_service")
    module.AppGenerateService = AppGenerateService  # type: ignore[attr-defined] # a module made here
    messages.attach(module)
    return AppGenerateService


def test_the_task_is_sent_within_the_request(recorded: Recording, service: Any) -> None:
    found: list[Operation | None] = []
    request = start(t.REQUEST)
    with request.active():
        send = service._build_streaming_task_on_subscribe(lambda: found.append(current()))
    assert current() is None
    send()
    request.end()
    assert found == [request]
    assert len(recorded.spans) == 1


@pytest.mark.parametrize("by_name", [False, True])
def test_difys_function_is_called_once_even_where_it_raises(
    recorded: Recording, service: Any, by_name: bool
) -> None:
    service.refuses = True
    args, kwargs = ([], {"start_task": print}) if by_name else ([print], {})
    with pytest.raises(ConnectionError):
        service._build_streaming_task_on_subscribe(*args, **kwargs)
    assert service.calls == 1
    assert recorded.spans == []
