"""Files of settlements in the archive."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0011_settlement_files.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
