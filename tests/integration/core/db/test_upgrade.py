"""An installation with keys, a catalogue and usage is brought to the newest schema."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import psycopg

from core.db import migrate as steps
from core.db.bootstrap import ensure_roles
from core.db.values import to_uuid
from core.metering.partitions import id_range, partition_name

MONTH = date(2026, 11, 1)
_FIRST, _END = (to_uuid(bound) for bound in id_range(MONTH))
# As an installation of that version has it: a month's partition, attached, with a record in it.
_BEFORE_0007 = f"""
SET ROLE oneapi_partitions;
CREATE TABLE {partition_name(MONTH)} (LIKE usage_record INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE usage_record ATTACH PARTITION {partition_name(MONTH)}
    FOR VALUES FROM ('{_FIRST}') TO ('{_END}');
SET ROLE oneapi_system;
INSERT INTO workspace VALUES ('{UUID(int=1)}', 'Old', 1, 1, '2026-11-01Z', 1);
INSERT INTO api_key (id, workspace_id, display_name, secret_hint, secret_hash, pepper_version,
    state, lane, allowed_models, default_model, model_aliases, requests_per_minute,
    tokens_per_minute, concurrent_requests, spend_per_day, spend_per_month, spend_total,
    allowed_networks, created_at, version)
VALUES ('{UUID(int=2)}', '{UUID(int=1)}', 'Old', 'hint', sha256('x'), 1, 1, 1, '{{}}', '', '{{}}',
    0, 0, 0, 0, 0, 0, '{{}}', '2026-11-01Z', 1);
INSERT INTO upstream (name, base_url, dialect, stream_end, disconnect_policy, bills_refused,
    enabled, created_at)
VALUES ('old', 'https://old.example/v1', 1, 1, 1, false, true, '2026-11-01Z');
INSERT INTO usage_record
SELECT '{_FIRST}', '{UUID(int=1)}', '{UUID(int=2)}', 1, 1, 1, '2026-11-01Z', '2026-11-01Z', 1, 1, 1,
    1, 1, false, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 200, 1, 1, 1, 1, 0, 0, 1, 1, '{{}}',
    0, 1, sha256('x'), '{UUID(int=3)}';
"""
_BEFORE_0008 = """
SET ROLE oneapi_system;
INSERT INTO model (public_id, display_name, maker, context_tokens, max_output_tokens,
    input_overhead_tokens, input_overhead_with_tools_tokens, image_max_tokens, audio_max_tokens,
    file_max_tokens, reasoning_beyond_limit_tokens, capabilities, enabled, created_at)
VALUES ('old', 'Old', 'old', 1, 1, 512, 512, 0, 0, 0, 0, '{}', true, '2026-11-01Z');
"""
_NEXT = date(2026, 12, 1)
_AFTER = """
SELECT w.requires_zero_retention, w.cors_origins, k.requires_zero_retention, u.data_policy,
       u.surfaces, r.data_policy
  FROM workspace AS w, api_key AS k, upstream AS u, usage_record AS r
"""


def test_what_was_there_promises_nothing_and_requires_nothing(empty_database: str) -> None:
    """No key is refused after an upgrade, and no class is invented for what has happened."""
    _migrate_to(empty_database, "0006")
    with psycopg.connect(empty_database) as connection:
        connection.execute(_BEFORE_0007)
    steps.migrate(empty_database)
    assert steps.current_revision(empty_database) == steps.head_revision()
    with psycopg.connect(empty_database) as connection:
        connection.execute("SET ROLE oneapi_system")
        found = connection.execute(_AFTER).fetchall()
    assert found == [(False, [], False, 0, [], 0)]


def test_the_next_month_s_partition_still_fits(empty_database: str) -> None:
    """It is made like the table, whose newest column is the last one everywhere."""
    _migrate_to(empty_database, "0006")
    with psycopg.connect(empty_database) as connection:
        connection.execute(_BEFORE_0007)
    steps.migrate(empty_database)
    first, end = (to_uuid(bound) for bound in id_range(_NEXT))
    name = partition_name(_NEXT)
    with psycopg.connect(empty_database) as connection:
        connection.execute("SET ROLE oneapi_partitions")
        connection.execute(
            f"CREATE TABLE {name} (LIKE usage_record INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        )
        connection.execute(
            f"ALTER TABLE usage_record ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{first}') TO ('{end}')"
        )
        connection.execute("CREATE TEMP TABLE copied AS SELECT * FROM usage_record")
        connection.execute(f"UPDATE copied SET id = '{first}', data_policy = 3")
        connection.execute("INSERT INTO usage_record SELECT * FROM copied")
        found = connection.execute(f"SELECT id, data_policy FROM {name}").fetchall()
    assert found == [(first, 3)]


def test_no_model_that_was_there_searches_the_web(empty_database: str) -> None:
    """Nobody has said yet what bounds it."""
    _migrate_to(empty_database, "0007")
    with psycopg.connect(empty_database) as connection:
        connection.execute(_BEFORE_0008)
    steps.migrate(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute("SET ROLE oneapi_system")
        found = connection.execute(
            "SELECT tool_calls_max, tool_call_max_tokens FROM model"
        ).fetchall()
    assert found == [(0, 0)]


def _migrate_to(dsn: str, revision: str) -> None:
    """Apply the migrations up to one, as a version of that time did."""
    ensure_roles(dsn)
    engine = steps._engine(dsn)
    steps._retrying(engine, steps._make_version_table)
    while steps.current_revision(dsn) != revision:
        assert steps._retrying(engine, steps._apply_next)
    engine.dispose()
