"""Months on their way to the archive, their files, permissions of keys."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0010_archive.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
