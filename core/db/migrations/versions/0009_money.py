"""Payments, refunds, disputes, documents, signed roots, limits of workspaces."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0009_money.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
