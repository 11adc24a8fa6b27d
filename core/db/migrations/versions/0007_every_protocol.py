"""Surfaces and data policies of upstreams, kinds of models, states of endpoints, and CORS."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the file; many statements, so without parameters."""
    file = Path(__file__).parent.parent / "sql" / "0007_every_protocol.sql"
    op.get_bind().connection.cursor().execute(file.read_bytes())
