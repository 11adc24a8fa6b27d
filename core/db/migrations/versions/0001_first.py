"""First schema: accounts, keys, catalogue, ledger, leases, usage by month, privileges."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_FILES = (
    "0001_accounts_keys_catalog.sql",
    "0001_ledger_metering.sql",
    "0001_privileges.sql",
)


def upgrade() -> None:
    """Run the files in order; many statements each, so without parameters."""
    folder = Path(__file__).parent.parent / "sql"
    cursor = op.get_bind().connection.cursor()
    for name in _FILES:
        cursor.execute((folder / name).read_bytes())
