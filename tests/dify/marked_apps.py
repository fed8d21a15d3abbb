"""Marked apps: copies of a rig's apps whose prompts, templates, code and addresses carry marks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import requests
import yaml

if TYPE_CHECKING:
    from tests.dify.marks import Marks
else:
    from marks import Marks


_UNREACHABLE = "http://127.0.0.1:9"
_FILE_APP = "wf_file"
_DEADLINE = 120


class MarkedApps:
    """Makes marked apps, a data set and files, and deletes them again.

    Args:
        drive: the rig's driver.
        marks: the marks.
        target: address of what HTTP nodes call.

    Attributes:
        state: what the driver's ``call`` needs, of the marked apps.
    """

    def __init__(self, drive: Any, marks: Marks, target: str) -> None:
        self._drive = drive
        self._marks = marks
        self._target = target
        self._console = drive.Console()
        known = drive.load()
        self._known = known["apps"]
        self._dataset_key = {"Authorization": f"Bearer {known['dataset_key']}"}
        self.state: dict[str, Any] = {"apps": {}}
        self._data_sets: list[str] = []

    @contextmanager
    def made(self, names: set[str]) -> Iterator[None]:
        """Have the apps of these names, and one that reads a file, for a block."""
        try:
            data_set = self._make_data_set()
            for name in sorted(names):
                self._make_app(name, name, lambda dsl: self._mark_app(dsl, data_set))
            self._make_app(_FILE_APP, "wf_simple", self._mark_file_app)
            yield
        finally:
            for app in self.state["apps"].values():
                self._console.req("DELETE", f"/apps/{app['id']}")
            for data_set in self._data_sets:
                self._ask("DELETE", f"/v1/datasets/{data_set}")

    def upload(self) -> str:
        """Upload a file to the app that reads files; return its id."""
        name = f"{self._marks.word('file-name')} \u4f60.txt"
        content = self._marks.text("file-content").encode()
        answer = requests.post(
            f"{self._drive.BASE}/v1/files/upload",
            headers={"Authorization": f"Bearer {self.state['apps'][_FILE_APP]['key']}"},
            files={"file": (name, content, "text/plain")},
            data={"user": "rig-user"},
            timeout=_DEADLINE,
        )
        answer.raise_for_status()
        made: str = answer.json()["id"]
        return made

    def read_file(self, file: Mapping[str, str], *, stream: bool) -> None:
        """Run the app that reads files."""
        requests.post(
            f"{self._drive.BASE}/v1/workflows/run",
            headers={"Authorization": f"Bearer {self.state['apps'][_FILE_APP]['key']}"},
            json={
                "inputs": {
                    "query": self._marks.text("input"),
                    "doc": {"type": "document", **file},
                },
                "response_mode": "streaming" if stream else "blocking",
                "user": "rig-user",
            },
            timeout=_DEADLINE,
        ).raise_for_status()

    def talk_about(self, app: str, message: str) -> None:
        """Rate a message, ask what to ask next, and have its conversation named."""
        key = {"Authorization": f"Bearer {self.state['apps'][app]['key']}"}
        base = f"{self._drive.BASE}/v1/messages/{message}"
        # Of a message that failed early there is none to rate.
        given = {"rating": "like", "user": "rig-user", "content": self._marks.text("feedback")}
        requests.post(f"{base}/feedbacks", headers=key, json=given, timeout=_DEADLINE)
        # Apps without the feature refuse.
        requests.get(
            f"{base}/suggested", headers=key, params={"user": "rig-user"}, timeout=_DEADLINE
        )

    def _ask(self, method: str, path: str, **given: Any) -> Any:
        url = f"{self._drive.BASE}{path}"
        answer = requests.request(
            method, url, headers=self._dataset_key, timeout=_DEADLINE, **given
        )
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    def _make_data_set(self) -> str:
        drive, marks = self._drive, self._marks
        made = self._ask(
            "POST",
            "/v1/datasets",
            json={
                "name": f"canary {marks.tokens['document'][:4]}",
                "indexing_technique": "high_quality",
                "embedding_model": drive.A.EMB,
                "embedding_model_provider": drive.P,
                "permission": "all_team_members",
            },
        )
        self._data_sets.append(made["id"])
        text = "\n\n".join(
            f"Fact {number}: the weather of city{number}. {marks.text('document')}"
            for number in range(5)
        )
        document = self._ask(
            "POST",
            f"/v1/datasets/{made['id']}/document/create-by-text",
            json={
                "name": f"{marks.word('file-name')}.txt",
                "text": text,
                "indexing_technique": "high_quality",
                "doc_form": "text_model",
                "process_rule": {"mode": "automatic"},
            },
        )
        where = f"/v1/datasets/{made['id']}/documents/{document['batch']}/indexing-status"
        while self._ask("GET", where)["data"][0]["indexing_status"] not in {"completed", "error"}:
            pass
        return str(made["id"])

    def _make_app(self, name: str, of: str, mark: Callable[[Any], None]) -> None:
        console = self._console
        exported = console.get(f"/apps/{self._known[of]['id']}/export")["data"]
        dsl = yaml.safe_load(exported)
        mark(dsl)
        body = {"mode": "yaml-content", "yaml_content": yaml.safe_dump(dsl, allow_unicode=True)}
        made = console.post("/apps/imports", body)
        if made.get("status") == "pending":
            made = console.post(f"/apps/imports/{made['id']}/confirm")
        app, mode = made["app_id"], dsl["app"]["mode"]
        if mode in {"workflow", "advanced-chat"}:
            empty = {"marked_name": "", "marked_comment": ""}
            console.post(f"/apps/{app}/workflows/publish", empty)
        key = console.post(f"/apps/{app}/api-keys")["token"]
        self.state["apps"][name] = {"id": app, "mode": mode, "key": key}

    def _mark_app(self, dsl: Any, data_set: str) -> None:
        for part in _parts(dsl):
            if isinstance(part.get("dataset_ids"), list):
                part["dataset_ids"] = [data_set]
            if isinstance(part.get("dataset"), dict) and "id" in part["dataset"]:
                part["dataset"]["id"] = data_set
            if "suggested_questions_after_answer" in part:
                part["suggested_questions_after_answer"] = {"enabled": True}
            self._mark_prompt(part)
            self._mark_node(part)

    def _mark_prompt(self, part: Any) -> None:
        prompt = self._marks.text("prompt")
        if part.get("role") == "system":
            part["text"] = f"{part['text']} {prompt}"
        if part.get("pre_prompt"):
            part["pre_prompt"] += f" {prompt}"
        if isinstance(part.get("instruction"), dict):
            part["instruction"]["value"] += f" {prompt}"

    def _mark_node(self, part: Any) -> None:
        match part.get("type"):
            case "parameter-extractor":
                part["instruction"] = self._marks.text("prompt")
            case "template-transform":
                part["template"] += f" {self._marks.text('template')}"
            case "code":
                part["code"] = self._mark_code(part["code"])
            case "http-request":
                self._mark_call(part)

    def _mark_code(self, code: str) -> str:
        """Have code return a mark in what it makes, and quote its input where it raises."""
        word = self._marks.word("code")
        return code.replace('f"', f'f"{word} ').replace("'boom'", "'cannot read ' + q")

    def _mark_call(self, node: Any) -> None:
        """Have an HTTP node call an address that the input is a part of."""
        reachable = not node["url"].startswith(_UNREACHABLE)
        base = self._target if reachable else _UNREACHABLE
        node["url"] = f"{base}/find/{{{{#start.query#}}}}?q={{{{#start.query#}}}}"
        node["method"] = "post"
        node["body"] = {
            "type": "json",
            "data": [{"key": "", "type": "text", "value": '{"asked": "{{#start.query#}}"}'}],
        }

    def _mark_file_app(self, dsl: Any) -> None:
        graph = dsl["workflow"]["graph"]
        for node in graph["nodes"]:
            data = node["data"]
            if data["type"] == "start":
                data["variables"].append(
                    {
                        "variable": "doc",
                        "label": "doc",
                        "type": "file",
                        "required": False,
                        "allowed_file_types": ["document"],
                        "allowed_file_extensions": [],
                        "allowed_file_upload_methods": ["local_file", "remote_url"],
                    }
                )
            if data["type"] == "llm":
                data["prompt_template"][-1]["text"] += " {{#extract.text#}}"
        graph["nodes"].append(
            {
                **graph["nodes"][0],
                "id": "extract",
                "data": {
                    "type": "document-extractor",
                    "title": "Read the file",
                    "variable_selector": ["start", "doc"],
                    "is_array_file": False,
                },
            }
        )
        (first,) = graph["edges"][:1]
        last = graph["edges"][-1]
        graph["edges"] = [
            {**first, "id": "start-extract", "target": "extract"},
            {**first, "id": "extract-llm", "source": "extract", "target": "llm"},
            last,
        ]
        with suppress(KeyError):
            dsl["workflow"]["features"]["file_upload"]["enabled"] = True


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Give every mapping in a document."""
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in inner:
        yield from _parts(part)
