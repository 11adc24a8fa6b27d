"""Spend limits: charges of records and open slices, instead of what was ever granted to edges."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0002_spend.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
