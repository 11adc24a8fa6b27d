"""`1api archive list|download`: the archive's files, for operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from kit.cli import CommandFailed, json_option, output
from kit.cli_calls import call, dollars

CALL_SECONDS: Final = 30.0
DOWNLOAD_SECONDS: Final = 3_600.0
_COLUMNS: Final = ("month", "revision", "records", "charges", "published_at", "expires_at")
_FOLDER: Final = click.Path(file_okay=False, path_type=Path)
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
    from kit.platform_keys import KEY_FILE  # noqa: PLC0415 - commands start quickly

    owner, target = _workspace(workspace), folder or Path(month)
    target.mkdir(parents=True, exist_ok=True)
    archive = _archive("GetArchive", workspace_id=owner, month=month).archive
    files = [file for file in archive.files if file.sha256]
    for file in files:
        _download(owner, month, file, target / file.name)
    keys = call("billing.v1.receipt_service", "GetPlatformKeys")
    (target / KEY_FILE).write_bytes(keys.content)
    output(context, {"folder": str(target), "files": [file.name for file in files]})


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
