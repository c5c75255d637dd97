"""Artifacts in an S3-compatible store: a real server on loopback, in this process."""

from collections.abc import Iterator
from datetime import date
from io import BytesIO
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import StorageHandler
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from tests.factories import make_workspace
from workflow_service.artifacts import s3_storage, storage
from workflow_service.artifacts.errors import StorageUnavailable
from workflow_service.artifacts.models import Artifact
from workflow_service.artifacts.run_files import ArtifactsOfRun
from workflow_service.artifacts.services.artifacts import delete_artifact
from workflow_service.settings.artifacts import artifact_storage
from workflow_service.settings.config import get_config


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="key",
        aws_secret_access_key="s/ecret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="files")
    client.close()
    yield f"{host}:{port}"
    started.stop()


def store_at(url: str) -> StorageHandler:
    config = get_config().model_copy(update={"artifact_store_url": SecretStr(url)})
    backends: dict[str, Any] = {storage.ALIAS: artifact_storage(config)}
    return StorageHandler(backends)


@pytest.fixture
def in_s3(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://key:s%2Fecret@{server}/files?region=us-east-1&tls=false"
    monkeypatch.setattr(storage, "storages", store_at(url))


@pytest.mark.django_db
def test_a_file_goes_in_comes_out_and_goes_away(in_s3: None) -> None:
    workspace = make_workspace()
    files = ArtifactsOfRun(workspace.pk, "exec_1", "block", "key")
    content = bytes(range(256)) * 4_000
    kept = files.save("a.bin", BytesIO(content), "application/octet-stream")
    assert files.save("a.bin", BytesIO(content), "application/octet-stream") == kept
    artifact = Artifact.objects.get()
    with files.open(kept.artifact_id) as opened:
        assert opened.read() == content
    (day,) = storage.list_days()
    assert storage.list_keys(day) == [artifact.storage_key]
    delete_artifact(artifact)
    assert storage.list_keys(day) == []
    with pytest.raises(StorageUnavailable):
        storage.open_object(artifact.storage_key).read()


def test_an_empty_store_has_no_days(in_s3: None) -> None:
    assert storage.list_keys(date(2020, 1, 1)) == []


def test_a_store_that_is_away_is_told_apart_from_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_storage, "PATIENCE", Config(retries={"total_max_attempts": 1}))
    monkeypatch.setattr(storage, "storages", store_at("s3://key:secret@127.0.0.1:1/files?tls=false"))
    with pytest.raises(StorageUnavailable, match="cannot be listed"):
        storage.list_days()


@pytest.mark.parametrize(
    "url",
    [
        "http://key:secret@host/bucket",
        "s3://host/bucket",
        "s3://key:secret@host",
        "s3://key:secret@host/a/b",
        "s3://key:secret@host:port/bucket",
        "s3://key:secret@host/bucket?regoin=x",
        "s3://key:secret@host/bucket?tls=maybe",
    ],
)
def test_a_url_that_is_none_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="ARTIFACT_STORE_URL: write it like") as caught:
        store_at(url)
    assert ":secret@host/b" not in str(caught.value).replace("key:secret@host:port/bucket", "")
