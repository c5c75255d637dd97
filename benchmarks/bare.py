"""Bare Celery with its defaults: the floor that the engine is measured against."""

import os

from celery import Celery

# Not the current app: the engine's messages must not go its way.
app = Celery(
    "bare", broker=os.environ["BARE_REDIS_URL"], backend=os.environ["BARE_REDIS_URL"], set_as_current=False
)


@app.task
def nothing() -> None:
    """Do nothing."""
