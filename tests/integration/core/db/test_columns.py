"""No column of the database is able to hold content, whatever might be written into it (P2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

import psycopg

from tests.architecture.rules.schema import BYTES, refuses_sentences

FREE = {
    "workspace.display_name": "what people call it",
    "workspace.cors_origins": "web origins, parsed before they are written",
    "api_key.display_name": "what people call it",
    "api_key.secret_hint": "the first signs of a secret, sixteen at most",
    "api_key.default_model": "a public model id, checked against the catalogue",
    "api_key.allowed_models": "public model ids, checked against the catalogue",
    "api_key.model_aliases": "names for public model ids, set by who owns the key",
    "api_key.allowed_networks": "networks, parsed before they are written",
    "model.display_name": "the catalogue's",
    "model.capabilities": "the catalogue's words",
    "upstream.credential_sealed": "a provider's credential under AES-256-GCM",
    "endpoint_state.note": "the catalogue's",
    "billing_account.name": "what people call themselves on receipts",
    "billing_account.email": "where receipts and warnings go",
    "billing_account.address": "what receipts name",
    "billing_account.tax_id": "the customer's",
    "payment.session_url": "the payment provider's page for one purchase",
    "billing_document.snapshot": "what a receipt says, for ever",
    "signed_root.heads": "ids, numbers and hashes of all wallets, as they were signed",
    "signed_root.signature": "an Ed25519 signature",
    "archive_totals.signature": "an Ed25519 signature",
    "proof_report.report": "ids and numbers of what a proof found",
    "alembic_version.version_num": "the schema's version",
}
"""Columns that are not narrow, none of which the data plane writes."""
DATA_PLANE = re.compile(
    r"usage_|idempotency|limit_|spend_|credit_lease|lease_|edge_epoch|spool_|ledger_|claim"
)
NUMBERS = re.compile(
    r"(bigint|integer|smallint|boolean|uuid|date|oid|timestamp with time zone|\"char\")(\[\])?"
)
_COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
       coalesce((SELECT string_agg(pg_get_constraintdef(k.oid), ' ')
                 FROM pg_constraint k
                 WHERE k.conrelid = c.oid AND k.contype = 'c' AND a.attnum = ANY (k.conkey)), '')
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
"""


@dataclass(frozen=True)
class Column:
    """A column, its type and its checks."""

    name: str
    type: str
    checks: str

    @property
    def is_narrow(self) -> bool:
        """Say whether its type or a check leaves no room for a sentence."""
        if NUMBERS.fullmatch(self.type):
            return True
        if self.type == "bytea":
            length = re.search(r"octet_length\(\w+\) = (\d+)", self.checks)
            return length is not None and int(length[1]) <= BYTES
        pattern = re.search(r"~ '((?:[^']|'')*)'", self.checks)
        return self.type == "text" and pattern is not None and refuses_sentences(pattern[1])


def columns(database_url: str) -> list[Column]:
    """Read the columns of all tables."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_COLUMNS).fetchall()
    return [Column(f"{table}.{name}", kind, checks) for table, name, kind, checks in rows]


def test_every_column_is_narrow_or_listed_with_its_reason(database_url: str) -> None:
    """A new column with room for text has to be argued for here."""
    wide = {column.name for column in columns(database_url) if not column.is_narrow}
    assert wide == FREE.keys()


def test_the_data_plane_s_tables_have_no_wide_column_at_all(database_url: str) -> None:
    """Usage, ledger, leases, limits, claims, epochs: numbers, ids, hashes, words of ours."""
    found = [column for column in columns(database_url) if DATA_PLANE.match(column.name)]
    assert len(found) > 100
    assert [column.name for column in found if not column.is_narrow] == []


def test_wide_columns_are_recognised(empty_database: str) -> None:
    """Control: text, JSON, long bytes and too kind a check."""
    with psycopg.connect(empty_database) as connection:
        connection.execute(
            "CREATE TABLE planted (a text, b jsonb, c bytea, d text[], e varchar(200),"
            " f text CHECK (f ~ '^.*$'), g bytea CHECK (octet_length(g) = 64), h numeric,"
            " i text CHECK (char_length(i) < 500))"
        )
    found = [column for column in columns(empty_database) if column.name.startswith("planted.")]
    assert len(found) == 9
    assert not any(column.is_narrow for column in found)
