"""`celery_entrypoint` in Dify's image: what its worker is started with."""

from examples.host.tasks import app as celery

__all__ = ["celery"]
