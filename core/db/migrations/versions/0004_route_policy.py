"""Routes say how to choose among candidates, and candidates how many requests they take."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0004_route_policy.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
