"""`1api receipt …`: receipts and credit notes, receipts of charges, and checking those offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from core.cli.session import pages, workspace_option
from kit.cli import CommandFailed, Exit, output
from kit.cli_calls import call, plain, time_of, word

SERVICE: Final = "billing.v1.receipt_service"
_COLUMNS: Final = ("document_id", "number", "kind", "issued_at", "total", "currency_code")
_FILE: Final = click.Path(dir_okay=False, path_type=Path)
_EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def receipt() -> None:
    """Read receipts and credit notes; prove single charges."""


@receipt.command("list")
@workspace_option
@click.pass_context
def list_documents(context: click.Context, workspace: str) -> None:
    """List receipts and credit notes, newest first."""
    found = pages(SERVICE, "ListDocuments", "documents", workspace_id=workspace)
    output(context, [_row(item) for item in found], table=_COLUMNS)


@receipt.command()
@click.argument("document_id")
@click.pass_context
def show(context: click.Context, document_id: str) -> None:
    """Show all that a document says."""
    answer = _fetch(document_id, "json")
    output(context, {**_row(answer.document), "content": json.loads(answer.content)})


@receipt.command()
@click.argument("document_id")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["pdf", "html", "json"]),
    default="pdf",
    show_default=True,
)
@click.option("--output", "target", type=_FILE, help="By default a file named by its number.")
@click.pass_context
def download(
    context: click.Context, document_id: str, file_format: str, target: Path | None
) -> None:
    """Write a document to a file; the bytes are the same each time."""
    answer = _fetch(document_id, file_format)
    path = target or Path(answer.file_name)
    path.write_bytes(answer.content)
    output(context, {"file": str(path), "number": answer.document.number})


@receipt.command()
@click.argument("request_id")
@click.option("--output", "target", type=_FILE, required=True, help="Where to.")
@click.pass_context
def charge(context: click.Context, request_id: str, target: Path) -> None:
    """Write the signed receipt of one request's charge to a file."""
    answer = call(SERVICE, "GetChargeReceipt", request_id=request_id)
    target.write_bytes(answer.content)
    output(context, {"file": str(target), "request_id": request_id})


@receipt.command()
@click.option("--output", "target", type=_FILE, required=True, help="Where to.")
@click.pass_context
def keys(context: click.Context, target: Path) -> None:
    """Write the platform's public keys to a file."""
    answer = call(SERVICE, "GetPlatformKeys")
    target.write_bytes(answer.content)
    output(context, {"file": str(target), "keys": len(json.loads(answer.content)["keys"])})


@receipt.command()
@click.argument("file", type=_EXISTING)
@click.option("--keys", "key_file", type=_EXISTING, required=True, help="Published keys.")
@click.pass_context
def verify(context: click.Context, file: Path, key_file: Path) -> None:
    """Check the receipt of a charge, offline. Exit code 1 if it does not prove what it says."""
    from kit.charge_receipt import ReceiptNotValid, verify_receipt  # noqa: PLC0415
    from kit.money import format_dollars  # noqa: PLC0415
    from kit.platform_keys import InvalidKeySet, parse_keys  # noqa: PLC0415

    try:
        proved = verify_receipt(file.read_bytes(), parse_keys(key_file.read_bytes()))
    except InvalidKeySet:
        raise CommandFailed(
            "The keys are no JSON Web Key Set with Ed25519 keys.",
            code=Exit.USAGE,
            reason="KEYS_NOT_VALID",
        ) from None
    except ReceiptNotValid as fault:
        raise CommandFailed(
            "The receipt does not prove what it says.",
            reason="RECEIPT_NOT_VALID",
            check=fault.check,
        ) from None
    output(
        context,
        {
            "valid": True,
            "request_id": proved.request_id,
            "workspace_id": proved.workspace_id,
            "charge": format_dollars(proved.charge_nanos),
            "settlement_id": proved.settlement_id,
            "wallet_log": proved.sequence,
            "signed_by": proved.key_id,
            "checks": list(proved.checks),
        },
    )


@receipt.command("rotate-key")
@click.pass_context
def rotate_key(context: click.Context) -> None:
    """Replace the key that signs, in its file on this machine; then restart core."""
    from core.platform_key import rotate_platform_key  # noqa: PLC0415
    from core.settings import CoreSettings  # noqa: PLC0415
    from kit.settings import read_or_default  # noqa: PLC0415

    path = read_or_default(CoreSettings).platform_key
    try:
        key = rotate_platform_key(path)
    except (OSError, ValueError):
        raise CommandFailed(
            "There is no platform key here: set ONEAPI_PLATFORM_KEY_FILE or ONEAPI_DATA_DIR.",
            code=Exit.NOT_FOUND,
            reason="PLATFORM_KEY_MISSING",
        ) from None
    output(context, {"key_id": key.key_id, "keys": len(key.public_keys.by_id)})


def _fetch(document_id: str, file_format: str) -> Any:
    from oneapi.billing.v1.receipt_service_pb2 import GetDocumentRequest  # noqa: PLC0415

    wanted = GetDocumentRequest.Format.Value(f"FORMAT_{file_format.upper()}")
    return call(SERVICE, "GetDocument", document_id=document_id, format=wanted)


def _row(item: Any) -> dict[str, Any]:
    return plain(item) | {"kind": word(item, "kind"), "issued_at": time_of(item, "issued_at")}
