"""`1api audit …`: proofs."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from core.cli.session import pages, workspace_option
from kit.cli import Exit, output, wants_json
from kit.cli_calls import call, dollars, plain

PROOFS: Final = "billing.v1.proof_service"
RECEIPTS: Final = "billing.v1.receipt_service"
VERIFY_SECONDS: Final = 3_600.0
FINDINGS_SHOWN_MAX: Final = 10_000
_COLUMNS: Final = ("check", "object_id", "expected", "found")


@click.group()
def audit() -> None:
    """Prove that the ledger adds up."""


@audit.command()
@click.option("--workspace", metavar="WS_ID", default="", help="Only of this workspace.")
@click.pass_context
def verify(context: click.Context, workspace: str) -> None:
    """Replay chains, sums, roots and charges. Exit code 1 if anything does not add up."""
    findings, summary = _proof(workspace)
    if wants_json(context):
        output(context, {**summary, "ok": summary["findings"] == 0, "details": findings})
    else:
        if findings:
            output(context, findings, table=_COLUMNS)
        output(context, summary)
    if summary["findings"]:
        context.exit(int(Exit.FAILED))


@audit.command()
@click.pass_context
def prove(context: click.Context) -> None:
    """Prove that all books agree and keep the report. Exit code 1 if they do not."""
    report = call(PROOFS, "RunProof", seconds=VERIFY_SECONDS).report
    output(context, _report(report))
    if report.findings:
        context.exit(int(Exit.FAILED))


@audit.command()
@click.pass_context
def reports(context: click.Context) -> None:
    """List the reports of daily proofs, newest first."""
    found = pages(PROOFS, "GetProofReports", "reports")
    columns = ("report_id", "started_at", "finished_at", "findings")
    output(context, [_report(item) for item in found], table=columns)


def _report(item: Any) -> dict[str, Any]:
    return plain(item) | {"content": json.loads(item.content)}


@audit.command()
@click.pass_context
def sign(context: click.Context) -> None:
    """Sign the root over all wallets for today, unless that was done."""
    answer = call(RECEIPTS, "SignRoot")
    output(context, plain(answer.root))


@audit.command()
@click.pass_context
def roots(context: click.Context) -> None:
    """List the signed roots, newest first."""
    found = pages(RECEIPTS, "ListSignedRoots", "roots")
    output(context, [plain(item) for item in found])


@audit.command("head")
@click.option("--day", default="", metavar="YYYY-MM-DD", help="The newest by default.")
@workspace_option
@click.pass_context
def head(context: click.Context, workspace: str, day: str) -> None:
    """Show the proof that a wallet's head is in a signed root."""
    answer = call(RECEIPTS, "GetHeadProof", workspace_id=workspace, day=day)
    output(context, json.loads(answer.content))


def _proof(workspace: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Read the whole proof. One without its summary was cut off, and proves nothing."""
    from kit.cli_link import core_channel  # noqa: PLC0415 - commands start quickly
    from kit.reasons import Unavailable  # noqa: PLC0415
    from oneapi.billing.v1.ledger_service_pb2 import VerifyLedgerRequest  # noqa: PLC0415
    from oneapi.billing.v1.ledger_service_pb2_grpc import LedgerServiceStub  # noqa: PLC0415

    findings: list[dict[str, str]] = []
    request = VerifyLedgerRequest(workspace_id=workspace)
    with core_channel() as channel:
        for answer in LedgerServiceStub(channel).VerifyLedger(request, timeout=VERIFY_SECONDS):
            if answer.HasField("summary"):
                return findings, _summary(answer.summary)
            if len(findings) < FINDINGS_SHOWN_MAX:
                findings.append({name: getattr(answer.finding, name) for name in _COLUMNS})
    raise Unavailable


def _summary(summary: Any) -> dict[str, Any]:
    names = ("wallets", "transactions", "entries", "records", "findings")
    counts = {name: getattr(summary, name) for name in names}
    # Of what is archived the chain was checked, not the records: `1api archive verify` does that.
    archived = ("archived_settlements", "archived_records")
    from_chain_only = {name: getattr(summary, name) for name in archived}
    return {**counts, "charges": dollars(summary.charges), **from_chain_only}
