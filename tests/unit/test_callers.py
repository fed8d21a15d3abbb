"""Whose a request is: the API key that called and the app it is for, whoever runs it."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from otel_dify import table as t
from otel_dify.operations.current import start
from otel_dify.sources.dify import messages, requests
from tests.recording import Recording

TOKEN = "app-S3CRETS3CRETS3CRET"  # noqa: S105 - of this test


class Row:
    """A row of the database, which would be asked for what is not loaded."""

    def __init__(self, **known: object) -> None:
        vars(self).update(known)

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"{name} was asked of the database")


@pytest.mark.parametrize(
    "token",
    [
        Row(id="key-1", app_id="app-1", tenant_id="tenant-1", token=TOKEN),
        SimpleNamespace(id="key-1", app_id="app-1", tenant_id="tenant-1", token=TOKEN),
    ],
    ids=["row", "cached"],
)
def test_a_request_has_the_id_of_the_key_that_called_and_never_the_key(
    recorded: Recording, token: object
) -> None:
    module: Any = ModuleType("controllers.service_api.wraps")
    module.validate_and_get_api_token = lambda scope: token if scope == "app" else None
    requests.attach(module)
    request = start(t.REQUEST, {t.HTTP_METHOD: "POST", t.HTTP_STATUS: 200})
    with request.active():
        assert module.validate_and_get_api_token("app") is token
        start(t.RUN).end()
    request.end()

    for span in recorded.spans:
        known = dict(span.attributes or {})
        assert known[t.API_KEY_ID.key] == "key-1"
        assert known[t.APP_ID.key] == "app-1"
        assert TOKEN not in str(known)
    counted = recorded.points("dify.api_key.requests")
    assert [dict(labels) for labels in counted] == [
        {
            "tenant_id": "tenant-1",
            "app_id": "app-1",
            "api_key_id": "key-1",
            "http.response.status_code": 200,
        }
    ]


def test_a_key_that_is_refused_is_refused_as_before(recorded: Recording) -> None:
    def refuse() -> None:
        raise PermissionError("unauthorized")

    module: Any = ModuleType("controllers.service_api.wraps")
    module.validate_and_get_api_token = refuse
    requests.attach(module)
    request = start(t.REQUEST)
    with request.active(), pytest.raises(PermissionError):
        module.validate_and_get_api_token()
    request.end()
    assert len(recorded.spans) == 1


def test_the_request_of_a_streamed_run_has_name_and_mode_of_its_app(recorded: Recording) -> None:
    """A worker runs it, and what is known there does not come back."""

    class AppGenerateService:
        @classmethod
        def generate(cls, app_model: Any, user: Any, args: Any, invoke_from: Any) -> str:
            return f"{app_model.id} {user.id} {args} {invoke_from.value}"

        @staticmethod
        def _build_streaming_task_on_subscribe(start_task: Any) -> Any:
            return start_task

    module: Any = ModuleType("services.app_generate_service")
    module.AppGenerateService = AppGenerateService
    messages.attach(module)
    mode = SimpleNamespace(value="advanced-chat")
    app = SimpleNamespace(id="app-2", name="Report writer", mode=mode, tenant_id="tenant-1")
    request = start(t.REQUEST)
    with request.active():
        told = AppGenerateService.generate(
            app, SimpleNamespace(id="user-1"), {}, invoke_from=SimpleNamespace(value="service-api")
        )
    request.end()
    assert told == "app-2 user-1 {} service-api"
    [span] = recorded.spans
    assert dict(span.attributes or {}) == {
        t.TENANT_ID.key: "tenant-1",
        t.APP_ID.key: "app-2",
        t.APP_NAME.key: "Report writer",
        t.APP_MODE.key: "advanced-chat",
        t.INVOKE_FROM.key: "service-api",
        t.USER_ID.key: "user-1",
    }
