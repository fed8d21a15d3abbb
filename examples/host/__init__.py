"""A small host for Dify apps: Flask, Celery, SQLAlchemy, Redis and the real engine."""
