"""Where artifacts lie, from one URL: an S3-compatible store, or a local folder where there is none."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from workflow_service.settings.config import Config

IN_MEMORY_BYTES = 8 * 1024 * 1024
SHAPE = "ARTIFACT_STORE_URL: write it like s3://key:secret@host:port/bucket?region=eu-central-1&tls=true"


def artifact_storage(config: Config) -> dict[str, Any]:
    """Return the entry of Django's STORAGES for artifacts; raises ``ImproperlyConfigured``."""
    if config.artifact_store_url is None:
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {
                "location": config.data_dir / "artifacts",
                "base_url": None,
                "file_permissions_mode": 0o600,
                "directory_permissions_mode": 0o700,
            },
        }
    # Named, not imported: boto3 costs every process a second, and is wanted only where something is stored.
    return {
        "BACKEND": "workflow_service.artifacts.s3_storage.ArtifactS3Storage",
        "OPTIONS": _s3(config.artifact_store_url.get_secret_value()),
    }


def _s3(url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise ImproperlyConfigured(SHAPE) from None
    hostname = parts.hostname or ""
    bucket = parts.path.strip("/")
    wrong = parts.scheme != "s3" or not hostname or not bucket or "/" in bucket
    if wrong or not parts.username or not parts.password or query.keys() - {"region", "tls"}:
        raise ImproperlyConfigured(SHAPE)
    tls = query.get("tls", ["true"])[0]
    if tls not in ("true", "false"):
        raise ImproperlyConfigured(SHAPE)
    host = f"[{hostname}]" if ":" in hostname else hostname
    return {
        "access_key": unquote(parts.username),
        "secret_key": unquote(parts.password),
        "bucket_name": bucket,
        "endpoint_url": f"{'https' if tls == 'true' else 'http'}://{host}{port}",
        "region_name": query.get("region", ["us-east-1"])[0],
        "addressing_style": "path",
        "signature_version": "s3v4",
        "file_overwrite": True,
        "default_acl": None,
        "querystring_auth": True,
        "max_memory_size": IN_MEMORY_BYTES,
    }
