"""`1api archive verify`: a month, or one file of it, proved without asking us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from kit.cli import CommandFailed, Exit, json_option, output

if TYPE_CHECKING:
    from archiver.manifest import Manifest
    from archiver.proof_file import FileAlone
    from kit.platform_keys import PublicKeys

KEY_FILE: Final = "1api-keys.json"
_KEY_VARIABLE: Final = "ONEAPI_API_KEY"
_EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("target")
@click.option("--keys", "key_file", type=_EXISTING, help="Published keys; see `download`.")
@json_option
@click.pass_context
def verify(context: click.Context, target: str, key_file: Path | None) -> None:
    """Prove a month from its files alone: a folder, a manifest, or the month's https:// URL.

    One file of a month is proved by the manifest that lies beside it. A URL is read with the API
    key in ONEAPI_API_KEY. Exit code 1 if the files do not prove it.
    """
    if target.startswith(("https://", "http://")):
        with TemporaryDirectory() as folder:
            keys = _fetch(target, Path(folder))
            found = _proved(Path(folder), None, _keys(key_file.read_bytes() if key_file else keys))
    else:
        path = Path(target)
        if not path.exists():
            raise CommandFailed("No such file or folder.", code=Exit.NOT_FOUND, reason="NOT_FOUND")
        if path.is_file() and path.suffix != ".json":
            output(context, _one_file(path, key_file))
            return
        folder_path = path if path.is_dir() else path.parent
        keys = _read_keys(key_file or folder_path / KEY_FILE)
        found = _proved(folder_path, None if path.is_dir() else path, _keys(keys))
    output(context, _proof(found))


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
    from archiver.proof_folder import NoManifest, verify_folder  # noqa: PLC0415

    with _told():
        try:
            return verify_folder(folder, keys, manifest)
        except NoManifest:
            raise CommandFailed(
                "The folder has no manifest, or several.", code=Exit.USAGE, reason="NO_MANIFEST"
            ) from None


def _one_file(path: Path, key_file: Path | None) -> dict[str, Any]:
    """Prove one file of a month; without its manifest, say what it is worth alone."""
    from archiver.calendar import format_month  # noqa: PLC0415
    from archiver.proof_file import look_at, manifest_beside, verify_file  # noqa: PLC0415
    from kit.ids import format_id  # noqa: PLC0415

    with _told():
        manifest = manifest_beside(path)
        if manifest is None:
            raise _needs_manifest(look_at(path))
        keys = _keys(_read_keys(key_file or path.parent / KEY_FILE))
        found, part = verify_file(path, manifest.read_bytes(), keys)
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
        "settlements": len(manifest.settlements),
        "signed_by": manifest.key_id,
    }
