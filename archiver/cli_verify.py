"""`1api archive verify`: a month, or one file of it, proved without asking us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from archiver.cli_keys import OPTION_HELP, keys_named
from kit.cli import CommandFailed, Exit, json_option, output

if TYPE_CHECKING:
    from archiver.manifest import Manifest
    from archiver.proof_file import FileAlone
    from kit.platform_keys import PublicKeys

_KEY_VARIABLE: Final = "ONEAPI_API_KEY"


@click.command()
@click.argument("target")
@click.option("--keys", "named", metavar="URL|FILE", help=OPTION_HELP)
@json_option
@click.pass_context
def verify(context: click.Context, target: str, named: str | None) -> None:
    """Prove a month from its files and the platform's keys: a folder, a manifest, or its URL.

    One file of a month is proved by the manifest that lies beside it. A URL is read with the API
    key in ONEAPI_API_KEY. Exit code 1 if the files do not prove it.
    """
    from archiver.fetching import origin_of  # noqa: PLC0415 - commands start quickly

    if target.startswith(("https://", "http://")):
        with TemporaryDirectory() as folder:
            _fetch(target, Path(folder))
            found = _proved(Path(folder), None, keys_named(named or origin_of(target)))
    else:
        path = Path(target)
        if not path.exists():
            raise CommandFailed("No such file or folder.", code=Exit.NOT_FOUND, reason="NOT_FOUND")
        if path.is_file() and path.suffix != ".json":
            output(context, _one_file(path, named))
            return
        folder_path = path if path.is_dir() else path.parent
        found = _proved(folder_path, None if path.is_dir() else path, keys_named(named))
    output(context, _proof(found))


def _fetch(url: str, folder: Path) -> None:
    from archiver.fetching import Fetcher  # noqa: PLC0415

    api_key = os.environ.get(_KEY_VARIABLE, "")
    if not api_key:
        raise CommandFailed(
            f"Set {_KEY_VARIABLE} to a key with the permission archives.download.",
            code=Exit.USAGE,
            reason="API_KEY_MISSING",
        )
    Fetcher(url, api_key).fetch_month(folder)


def _proved(folder: Path, manifest: Path | None, keys: PublicKeys) -> Manifest:
    from archiver.proof_folder import FolderTooLarge, NoManifest, verify_folder  # noqa: PLC0415

    with _told():
        try:
            return verify_folder(folder, keys, manifest)
        except NoManifest:
            raise CommandFailed(
                "The folder has no manifest, or several.", code=Exit.USAGE, reason="NO_MANIFEST"
            ) from None
        except FolderTooLarge:
            raise CommandFailed(
                "The folder has more in it than a month: give the month's files one of their own.",
                code=Exit.USAGE,
                reason="FOLDER_TOO_LARGE",
            ) from None


def _one_file(path: Path, named: str | None) -> dict[str, Any]:
    """Prove one file of a month; without its manifest, say what it is worth alone."""
    from archiver.calendar import format_month  # noqa: PLC0415
    from archiver.manifest import read_manifest  # noqa: PLC0415
    from archiver.proof_file import look_at, manifest_beside, verify_file  # noqa: PLC0415
    from kit.ids import format_id  # noqa: PLC0415

    with _told():
        manifest = manifest_beside(path)
        if manifest is None:
            raise _needs_manifest(look_at(path))
        found, part = verify_file(path, read_manifest(manifest), keys_named(named))
    return {
        "valid": True,
        "proves": f"one of the month's {len(found.parts)} files; a folder proves all of it",
        "workspace_id": format_id("ws", found.workspace_id),
        "month": format_month(found.month),
        "revision": found.revision,
        "sha256": part.sha256.hex(),
        "rows": part.rows,
        "signed_by": found.key_id,
    }


def _needs_manifest(alone: FileAlone) -> CommandFailed:
    """Say what a file shows by itself, and that this proves nothing of where it is from."""
    from kit.money import format_dollars  # noqa: PLC0415

    details = {"sha256": alone.sha256.hex(), "size_bytes": str(alone.size_bytes)}
    shown = "It can be read"
    if alone.totals is not None:
        charges = format_dollars(alone.totals.charge_nanos)
        details |= {"records": str(alone.totals.records), "charges": charges}
        shown = f"Its pages are whole: {alone.totals.records} records, {charges} USD"
    return CommandFailed(
        f"{shown}, but a file alone does not prove that it is what was published: put the month's"
        " manifest.json beside it, or verify the whole folder.",
        code=Exit.FAILED,
        reason="NEEDS_MANIFEST",
        **details,
    )


@contextmanager
def _told() -> Iterator[None]:
    """Say in a person's words what does not hold."""
    from archiver.manifest import ManifestNotValid  # noqa: PLC0415
    from archiver.verify import NotProved  # noqa: PLC0415

    try:
        yield
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
        "settlements": manifest.settlements,
        "signed_by": manifest.key_id,
    }
