-- Months of usage on their way from the hot store to the archive, and the files they became.

-- Which settlements charged a month: held against the month's records before they leave.
CREATE INDEX ledger_txn_month ON ledger_txn (usage_month, workspace_id)
    WHERE records_root IS NOT NULL;

CREATE TABLE archive_lease (
    single boolean PRIMARY KEY CHECK (single),
    holder text NOT NULL CHECK (holder ~ '^[0-9a-f]{0,64}$'),
    fence bigint NOT NULL CHECK (fence >= 0),
    expires_at timestamptz NOT NULL
);
INSERT INTO archive_lease VALUES (true, '', 0, '1970-01-01Z');

-- What happened to a month, with the time of each step; a step that is not done is NULL.
CREATE TABLE archive_month (
    month date PRIMARY KEY CHECK (month = date_trunc('month', month)),
    frozen_at timestamptz,
    published_at timestamptz,
    detached_at timestamptz,
    dropped_at timestamptz,
    expired_at timestamptz,
    revision integer NOT NULL DEFAULT 0 CHECK (revision >= 0),
    records bigint NOT NULL DEFAULT 0 CHECK (records >= 0)
);

CREATE TABLE archive_file (
    name text PRIMARY KEY CHECK (name ~ '^[a-z0-9][A-Za-z0-9._=/-]{0,255}$'),
    month date NOT NULL REFERENCES archive_month,
    workspace_id uuid REFERENCES wallet,                   -- NULL: over all workspaces
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 5),
    revision integer NOT NULL CHECK (revision > 0),
    size_bytes bigint NOT NULL CHECK (size_bytes >= 0),
    records bigint NOT NULL CHECK (records >= 0),
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    charges_nanos bigint NOT NULL,
    published_at timestamptz NOT NULL,
    current boolean NOT NULL DEFAULT true,                 -- the newest manifest names it
    deleted_at timestamptz,
    deletion_reason smallint CHECK (deletion_reason IN (1, 2)),
    CHECK ((deleted_at IS NULL) = (deletion_reason IS NULL))
);
CREATE INDEX archive_file_workspace ON archive_file (workspace_id, month, revision);
CREATE INDEX archive_file_month ON archive_file (month, revision);

-- What a workspace's month added up to when it was signed: for proofs when the rows are gone.
CREATE TABLE archive_totals (
    month date NOT NULL REFERENCES archive_month,
    workspace_id uuid NOT NULL REFERENCES wallet,
    revision integer NOT NULL CHECK (revision > 0),
    records bigint NOT NULL CHECK (records >= 0),
    charges_nanos bigint NOT NULL,
    waived_nanos bigint NOT NULL,
    quantities bigint[] NOT NULL CHECK (array_length(quantities, 1) = 12),
    ids_hash bytea NOT NULL CHECK (octet_length(ids_hash) = 32),
    manifest_sha256 bytea NOT NULL CHECK (octet_length(manifest_sha256) = 32),
    key_id text NOT NULL CHECK (key_id ~ '^[a-z0-9_-]{1,64}$'),
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    signed_at timestamptz NOT NULL,
    PRIMARY KEY (month, workspace_id, revision)
);

-- A late record is in a file from this revision of its month on; NULL: in none yet.
CREATE TABLE usage_late_archived (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    month date NOT NULL REFERENCES archive_month,
    revision integer NOT NULL CHECK (revision > 0),
    duplicate boolean NOT NULL,                            -- it was in the archive before
    archived_at timestamptz NOT NULL
);

-- What stands before the rows of a frozen month, besides CHECK (false): that one stops no DELETE.
CREATE FUNCTION usage_is_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the month is frozen' USING ERRCODE = 'object_not_in_prerequisite_state';
END $$;

-- Permissions of an API key beyond asking models, such as archives.download (1).
ALTER TABLE api_key
    ADD COLUMN permissions smallint[] NOT NULL DEFAULT '{}' CHECK (0 < ALL (permissions));

GRANT SELECT ON archive_lease, archive_month, archive_file, archive_totals, usage_late_archived
    TO oneapi_system, oneapi_partitions;
GRANT INSERT, UPDATE ON archive_lease, archive_month, archive_file TO oneapi_system;
GRANT INSERT ON archive_totals, usage_late_archived TO oneapi_system;
GRANT UPDATE ON archive_totals TO oneapi_system; -- of a revision that is not published yet
GRANT DELETE ON usage_hourly TO oneapi_system;   -- hours of a dropped month become one sum
GRANT SELECT ON archive_month, usage_late_archived TO oneapi_app; -- to know what is hot
GRANT UPDATE ON archive_watermark TO oneapi_system;
GRANT SELECT ON archive_file TO oneapi_app;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['archive_file', 'archive_totals', 'usage_late_archived'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY all_tenants ON %I TO oneapi_system, oneapi_partitions, oneapi_owner '
            'USING (true) WITH CHECK (true)', name);
        EXECUTE format(
            'CREATE POLICY one_tenant ON %I TO oneapi_app USING (workspace_id = '
            'nullif(current_setting(''oneapi.workspace_id'', true), '''')::uuid)', name);
    END LOOP;
END $$;
