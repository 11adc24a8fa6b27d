"""What the platform key signs of a month in the archive; who has the manifest can check it alone.

The signature names the workspace, the month and the revision beside the manifest's hash, so that a
manifest can stand neither for another workspace nor for another month.
"""

from __future__ import annotations

from typing import Final

from kit.canonical import Canonical
from kit.platform_keys import signed_bytes

FORMAT: Final = "1api.club/archive_manifest/v1"


def manifest_statement(
    workspace_id: str, month: str, revision: int, manifest_sha256: bytes
) -> dict[str, Canonical]:
    """Return what the signature covers, after the label `FORMAT`.

    `workspace_id` is the outside form (`ws_…`), `month` such as `2026-08`; the hash is that of the
    manifest's canonical bytes without its member `signature`.
    """
    return {
        "format": FORMAT,
        "workspace_id": workspace_id,
        "month": month,
        "revision": revision,
        "manifest_sha256": manifest_sha256,
    }


def manifest_message(workspace_id: str, month: str, revision: int, manifest_sha256: bytes) -> bytes:
    """Return the bytes to verify a signature against (`kit.platform_keys.PublicKeys.verifies`)."""
    statement = manifest_statement(workspace_id, month, revision, manifest_sha256)
    return signed_bytes(FORMAT, statement)
