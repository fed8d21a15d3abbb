"""`app` in Dify's image: what gunicorn and Celery are started with. Here: the example host's."""

from flask.typing import ResponseReturnValue
from sqlalchemy import text

from examples.host import db
from examples.host.tasks import app as celery
from examples.host.web import app

__all__ = ["app", "celery"]


@app.get("/console/api/setup")
def setup() -> ResponseReturnValue:
    """Answer from the database, as Dify does."""
    with db.engine().connect() as connection:
        connection.execute(text("SELECT 1"))
    return {"step": "finished"}
