"""An index that finds expired credit."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0005_credit_expiry.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
