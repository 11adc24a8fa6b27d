"""Claims of idempotency keys end with the edge process that made them."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0003_claims.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
