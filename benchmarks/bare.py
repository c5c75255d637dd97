"""Bare Celery with its defaults: the floor that the engine is measured against."""

import os

from celery import Celery

app = Celery("bare", broker=os.environ["BARE_REDIS_URL"], backend=os.environ["BARE_REDIS_URL"])


@app.task
def nothing() -> None:
    """Do nothing."""
