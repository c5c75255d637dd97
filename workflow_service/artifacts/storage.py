"""The bytes of artifacts, through Django's storages: a local folder or an S3-compatible store.

A key is ``DAY/ID``: what lies there without a row is found again by its day. Whatever the storage raises, what comes
out of here is ``StorageUnavailable``.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, BinaryIO, cast

from django.core.files.base import File
from django.core.files.storage import Storage, storages

from workflow_service.artifacts.errors import StorageUnavailable

ALIAS = "artifacts"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def storage_key(public_id: str, day: date) -> str:
    """Return where the object of an artifact lies."""
    return f"{day.isoformat()}/{public_id}"


def write_object(key: str, source: BinaryIO) -> None:
    """Store what ``source`` holds from its beginning."""
    with _as_unavailable("written"):
        source.seek(0)
        stored = _storage().save(key, File(source))
        if stored != key:
            _storage().delete(stored)
            raise StorageUnavailable(f"the artifact storage has something at '{key}' already")


def open_object(key: str) -> BinaryIO:
    """Open an object to be read."""
    with _as_unavailable("read"):
        opened = _storage().open(key, "rb")
        # The file itself, not Django's wrapper: who reads it may want all that a file can do.
        return cast(BinaryIO, opened.file)


def delete_object(key: str) -> None:
    """Remove an object; one that is not there is gone already."""
    with _as_unavailable("deleted"):
        _storage().delete(key)


def list_days() -> list[date]:
    """Return the days on which something was stored that is still there."""
    with _as_unavailable("listed"):
        try:
            folders, _ = _storage().listdir("")
        except FileNotFoundError:
            return []
    return sorted(date.fromisoformat(folder) for folder in folders if _DAY.fullmatch(folder))


def list_keys(day: date) -> list[str]:
    """Return the keys of a day."""
    with _as_unavailable("listed"):
        _, names = _storage().listdir(day.isoformat())
    return [f"{day.isoformat()}/{name}" for name in names if name]


def _storage() -> Storage:
    return storages[ALIAS]


@contextmanager
def _as_unavailable(done: str) -> Iterator[None]:
    try:
        yield
    except (StorageUnavailable, FileNotFoundError) as error:
        if isinstance(error, StorageUnavailable):
            raise
        raise StorageUnavailable(
            f"the file cannot be {done}: the artifact storage does not have it"
        ) from None
    except OSError as error:
        raise StorageUnavailable(
            f"the file cannot be {done}: {error.strerror or type(error).__name__}"
        ) from error
    except Exception as error:
        # botocore's errors have no common root with anything, and importing them loads all of boto3.
        if not _from_boto(error):
            raise
        raise StorageUnavailable(f"the file cannot be {done}: {type(error).__name__}") from error


def _from_boto(error: Any) -> bool:
    return type(error).__module__.partition(".")[0] in ("botocore", "boto3", "s3transfer")
