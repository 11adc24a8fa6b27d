"""How often a model may make its provider search the web, and what a search adds."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0008_web_search.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
