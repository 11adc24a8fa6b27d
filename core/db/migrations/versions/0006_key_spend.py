"""An index that finds what a key was charged."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0006_key_spend.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
