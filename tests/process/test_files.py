"""Files that gunicorn sends by itself, with ``sendfile``, are still sent so, and are operations."""

from __future__ import annotations

import httpx
import pytest

from tests.process.conftest import Programs
from tests.process.test_web_servers import WRONG, serve

SIZE = 300_000
APP = """
import os
import flask

app = flask.Flask(__name__)

@app.get("/file")
def file():
    return flask.send_file(os.environ["FILE"])
"""
# gunicorn's configuration is Python: it notes what becomes of each response that is a file.
CONFIGURATION = """
import os
from gunicorn.http.wsgi import Response

_sendfile = Response.sendfile

def noting(self, respiter):
    sent = _sendfile(self, respiter)
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{sent}\\n")
    return sent

Response.sendfile = noting
"""


@pytest.mark.parametrize("kind", ["sync", "gthread", "gevent"])
def test_gunicorn_sends_a_file_by_itself_and_its_request_ends_with_it(
    programs: Programs, kind: str
) -> None:
    file, notes = programs.folder / "file.bin", programs.folder / "notes"
    file.write_bytes(bytes(number % 251 for number in range(SIZE)))
    (programs.folder / "files.py").write_text(APP, encoding="utf-8")
    configuration = programs.folder / "configuration.py"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    programs.env |= {"FILE": str(file), "NOTES": str(notes)}
    url = serve(
        programs,
        *("gunicorn", "-c", str(configuration), "--pythonpath", str(programs.folder)),
        *("-k", kind, "-b", "127.0.0.1:PORT", "files:app"),
    )
    with httpx.Client() as client:
        assert client.get(f"{url}/file").content == file.read_bytes()
        part = client.get(f"{url}/file", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, file.read_bytes()[10:20])
        assert client.head(f"{url}/file").content == b""
    programs.stop()

    # A part of a file is none that gunicorn knows, and a HEAD has none.
    assert notes.read_text(encoding="utf-8") == "True\n"
    whole, of_part = sorted(programs.spans("GET /file"), key=lambda span: span.start_ns)
    assert whole.number("http.response.body.size") == SIZE
    assert whole.number("http.response.status_code") == 200
    assert whole.end_ns >= whole.start_ns
    assert of_part.number("http.response.body.size") == 10
    assert len(programs.spans("HEAD /file")) == 1
    assert programs.counted("http.server.request.duration", **{"http.route": "/file"}) == 3
    log = programs.log("web")
    assert not [line for line in log.splitlines() if any(wrong in line for wrong in WRONG)], log
