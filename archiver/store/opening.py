"""Opens the store that the settings name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from archiver.settings import ArchiverSettings
from archiver.store.objects import ObjectStore
from kit.files import private_folder

LOCAL: Final = "local"
_CALL: Final = timedelta(seconds=60)
_CONNECT: Final = timedelta(seconds=10)
_RETRIES: Final = 4
_KINDS: Final = {"s3": "s3", "gs": "gcs", "az": "azure"}


class StoreNotConfigured(ValueError):
    """`ONEAPI_ARCHIVE_STORE` names no store that can be used; carries no part of it."""


def open_store(settings: ArchiverSettings) -> ObjectStore:
    """Open the store of `ONEAPI_ARCHIVE_STORE`: a folder, `s3://`, `gs://` or `az://`.

    Raises:
        StoreNotConfigured: no such store, or a local folder in production without leave.
    """
    url = settings.archive_store
    scheme = urlsplit(url).scheme
    if scheme in {"", "file"}:
        return _local(settings, Path(urlsplit(url).path) if url else settings.data_dir / "archive")
    if scheme not in _KINDS:
        raise StoreNotConfigured
    try:
        return ObjectStore(_remote(scheme, url, settings), kind=_KINDS[scheme])
    except (BaseError, ValueError):
        raise StoreNotConfigured from None


def _local(settings: ArchiverSettings, root: Path) -> ObjectStore:
    if settings.profile == "production" and not settings.archive_store_local_allowed:
        raise StoreNotConfigured
    private_folder(root)
    return ObjectStore(LocalStore(prefix=root), kind=LOCAL, root=root)


def _remote(scheme: str, url: str, settings: ArchiverSettings) -> Any:
    options: dict[str, Any] = {
        "client_options": {
            "timeout": _CALL,
            "connect_timeout": _CONNECT,
            "allow_http": settings.archive_store_plain_http,
        },
        # One that is slow or answers 503 is asked again, so that a month does not start anew.
        "retry_config": {"max_retries": _RETRIES, "retry_timeout": 2 * _CALL},
    }
    if scheme == "s3":
        return S3Store.from_url(url, **_s3(settings), **options)
    if scheme == "gs":
        return GCSStore.from_url(url, **options)
    return AzureStore.from_url(url, **options)


def _s3(settings: ArchiverSettings) -> dict[str, Any]:
    # What is not set here is taken from the provider's own variables (`AWS_…`).
    named = {
        "endpoint": settings.archive_s3_endpoint,
        "region": settings.archive_s3_region,
        "access_key_id": settings.archive_s3_access_key_id,
        "secret_access_key": settings.archive_s3_secret_access_key.get_secret_value(),
    }
    return {name: value for name, value in named.items() if value}
