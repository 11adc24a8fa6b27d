"""`1api archive list|download|verify`: the archive's files, for operators and for customers."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from kit.cli import CommandFailed, Exit, json_option, output
from kit.cli_calls import call, dollars

if TYPE_CHECKING:
    from archiver.manifest import Manifest
    from kit.platform_keys import PublicKeys

CALL_SECONDS: Final = 30.0
DOWNLOAD_SECONDS: Final = 3_600.0
KEY_FILE: Final = "1api-keys.json"
_KEY_VARIABLE: Final = "ONEAPI_API_KEY"
_COLUMNS: Final = ("month", "revision", "records", "charges", "published_at", "expires_at")
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
_EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORKSPACE: Final = click.option("--workspace", help="By default the example workspace.")


@click.command("list")
@_WORKSPACE
@json_option
@click.pass_context
def list_months(context: click.Context, workspace: str | None) -> None:
    """List a workspace's months in the archive, newest first."""
    rows: list[dict[str, Any]] = []
    fields = {"workspace_id": _workspace(workspace), "page_size": 100}
    while True:
        answer = _archive("ListArchives", **fields)
        rows += [_row(archive) for archive in answer.archives]
        if not answer.next_page_token:
            break
        fields["page_token"] = answer.next_page_token
    output(context, rows, table=_COLUMNS)


@click.command()
@click.argument("month")
@_WORKSPACE
@click.option("--output", "folder", type=_FOLDER, help="By default a folder named by the month.")
@json_option
@click.pass_context
def download(
    context: click.Context, month: str, workspace: str | None, folder: Path | None
) -> None:
    """Write a month's files and the keys that prove them to a folder; goes on after a cut."""
    owner, target = _workspace(workspace), folder or Path(month)
    target.mkdir(parents=True, exist_ok=True)
    archive = _archive("GetArchive", workspace_id=owner, month=month).archive
    files = [file for file in archive.files if file.sha256]
    for file in files:
        _download(owner, month, file, target / file.name)
    keys = call("billing.v1.receipt_service", "GetPlatformKeys")
    (target / KEY_FILE).write_bytes(keys.content)
    output(context, {"folder": str(target), "files": [file.name for file in files]})


@click.command()
@click.argument("target")
@click.option("--keys", "key_file", type=_EXISTING, help="Published keys; see `download`.")
@json_option
@click.pass_context
def verify(context: click.Context, target: str, key_file: Path | None) -> None:
    """Prove a month from its files alone: a folder, a manifest, or the month's https:// URL.

    A URL is read with the API key in ONEAPI_API_KEY. Exit code 1 if the files do not prove it.
    """
    if target.startswith(("https://", "http://")):
        with TemporaryDirectory() as folder:
            keys = _fetch(target, Path(folder))
            found = _proved(Path(folder), None, _keys(key_file.read_bytes() if key_file else keys))
    else:
        path = Path(target)
        if not path.exists():
            raise CommandFailed("No such file or folder.", code=Exit.NOT_FOUND, reason="NOT_FOUND")
        folder_path = path if path.is_dir() else path.parent
        keys = _read_keys(key_file or folder_path / KEY_FILE)
        found = _proved(folder_path, None if path.is_dir() else path, _keys(keys))
    output(context, _proof(found))


def _workspace(given: str | None) -> str:
    from kit.cli_link import default_workspace  # noqa: PLC0415 - commands start quickly

    return given or default_workspace()


def _archive(method: str, **fields: Any) -> Any:
    from kit.cli_link import archiver_channel  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2 as pb  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2_grpc as rpc  # noqa: PLC0415

    with archiver_channel() as channel:
        stub = rpc.ArchiveServiceStub(channel)
        return getattr(stub, method)(
            getattr(pb, f"{method}Request")(**fields), timeout=CALL_SECONDS
        )


def _download(workspace: str, month: str, file: Any, path: Path) -> None:
    """Write one file; what an earlier run left of it is kept, and all of it checked."""
    from archiver.proof_folder import sha256_of  # noqa: PLC0415
    from kit.cli_link import archiver_channel  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2 as pb  # noqa: PLC0415
    from oneapi.archive.v1 import archive_service_pb2_grpc as rpc  # noqa: PLC0415

    if path.exists() and sha256_of(path) == file.sha256:
        return
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.exists() else 0
    request = pb.DownloadRequest(
        workspace_id=workspace, month=month, name=file.name, offset=min(have, file.size_bytes)
    )
    with archiver_channel() as channel, part.open("ab") as written:
        for piece in rpc.ArchiveServiceStub(channel).Download(request, timeout=DOWNLOAD_SECONDS):
            written.write(piece.data)
    if sha256_of(part) != file.sha256:
        part.unlink()
        raise CommandFailed(
            "A file is not what was published; try again.", reason="FILE_DAMAGED", file=file.name
        )
    part.replace(path)


def _fetch(url: str, folder: Path) -> bytes:
    from archiver.fetching import Fetcher  # noqa: PLC0415

    api_key = os.environ.get(_KEY_VARIABLE, "")
    if not api_key:
        raise CommandFailed(
            f"Set {_KEY_VARIABLE} to a key with the permission archives.download.",
            code=Exit.USAGE,
            reason="API_KEY_MISSING",
        )
    fetcher = Fetcher(url, api_key)
    fetcher.fetch_month(folder)
    return fetcher.fetch_keys()


def _read_keys(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise CommandFailed(
            "Name the published keys with --keys: they are at /.well-known/1api-keys.json.",
            code=Exit.USAGE,
            reason="KEYS_MISSING",
        ) from None


def _keys(text: bytes) -> PublicKeys:
    from kit.platform_keys import InvalidKeySet, parse_keys  # noqa: PLC0415

    try:
        return parse_keys(text)
    except InvalidKeySet:
        raise CommandFailed(
            "The keys are no JSON Web Key Set with Ed25519 keys.",
            code=Exit.USAGE,
            reason="KEYS_NOT_VALID",
        ) from None


def _proved(folder: Path, manifest: Path | None, keys: PublicKeys) -> Manifest:
    from archiver.manifest import ManifestNotValid  # noqa: PLC0415
    from archiver.proof_folder import NoManifest, verify_folder  # noqa: PLC0415
    from archiver.verify import NotProved  # noqa: PLC0415

    try:
        return verify_folder(folder, keys, manifest)
    except NoManifest:
        raise CommandFailed(
            "The folder has no manifest, or several.", code=Exit.USAGE, reason="NO_MANIFEST"
        ) from None
    except ManifestNotValid:
        raise CommandFailed(
            "The manifest is none of this version.", reason="MANIFEST_NOT_VALID"
        ) from None
    except NotProved as fault:
        raise CommandFailed(
            "The files do not prove what the manifest says.",
            reason="NOT_PROVED",
            check=fault.check,
        ) from None


def _proof(manifest: Manifest) -> dict[str, Any]:
    from archiver.calendar import format_month  # noqa: PLC0415
    from kit.ids import format_id  # noqa: PLC0415
    from kit.money import format_dollars  # noqa: PLC0415

    return {
        "valid": True,
        "workspace_id": format_id("ws", manifest.workspace_id),
        "month": format_month(manifest.month),
        "revision": manifest.revision,
        "files": len(manifest.parts),
        "records": manifest.totals.records,
        "charges": format_dollars(manifest.totals.charge_nanos),
        "settlements": len(manifest.settlements),
        "signed_by": manifest.key_id,
    }


def _row(archive: Any) -> dict[str, Any]:
    return {
        "month": archive.month,
        "revision": archive.revision,
        "records": archive.records,
        "charges": dollars(archive.charges),
        "published_at": archive.published_at.ToJsonString(),
        "expires_at": archive.expires_at.ToJsonString(),
        "files": [
            {"name": file.name, "size_bytes": file.size_bytes, "sha256": file.sha256.hex() or None}
            for file in archive.files
        ],
    }
