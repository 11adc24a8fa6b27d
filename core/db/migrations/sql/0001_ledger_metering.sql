-- Wallets, the ledger, leases, edges, limits and usage.

CREATE TABLE wallet (
    workspace_id uuid PRIMARY KEY REFERENCES workspace,
    posted bigint NOT NULL,     -- all credit: total
    held bigint NOT NULL,       -- of it in leases
    frozen bigint NOT NULL,     -- of it frozen by disputes
    receivable bigint NOT NULL, -- owed by the workspace
    sequence bigint NOT NULL,   -- of the wallet log
    head_hash bytea NOT NULL CHECK (octet_length(head_hash) = 32),
    CHECK (held >= 0 AND frozen >= 0 AND receivable >= 0 AND posted - held - frozen >= 0)
) WITH (fillfactor = 50);

CREATE TABLE credit_grant (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),
    priority smallint NOT NULL, -- lower is burnt first
    amount bigint NOT NULL CHECK (amount > 0),
    remaining bigint NOT NULL CHECK (remaining BETWEEN 0 AND amount), -- outside of leases
    expires_at timestamptz,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX credit_grant_burn ON credit_grant (workspace_id, priority, expires_at, id);

CREATE TABLE ledger_txn (
    id uuid PRIMARY KEY,
    workspace_id uuid REFERENCES wallet,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,32}$'),
    business_key text NOT NULL UNIQUE CHECK (business_key ~ '^[A-Za-z0-9_:./-]{1,200}$'),
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    effective_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor ~ '^[a-z0-9_.:-]{1,64}$'),
    usage_month date,
    records_root bytea CHECK (octet_length(records_root) = 32),
    record_count integer CHECK (record_count > 0),
    CHECK ((records_root IS NULL) = (record_count IS NULL))
);
CREATE INDEX ledger_txn_workspace ON ledger_txn (workspace_id, id);

CREATE TABLE ledger_entry (
    txn_id uuid NOT NULL REFERENCES ledger_txn,
    position smallint NOT NULL CHECK (position >= 0),
    -- promo, paid, held, rev.usage, exp.promo, ...
    account text NOT NULL CHECK (account ~ '^[a-z_.]{1,32}$'),
    workspace_id uuid REFERENCES wallet,
    grant_id uuid REFERENCES credit_grant,
    amount bigint NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (txn_id, position)
);
CREATE INDEX ledger_entry_account ON ledger_entry (workspace_id, account);
CREATE INDEX ledger_entry_grant ON ledger_entry (grant_id) WHERE grant_id IS NOT NULL;

CREATE FUNCTION ledger_entry_zero_sum() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM new_entries GROUP BY txn_id HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'entries do not sum to zero'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER ledger_entry_zero_sum AFTER INSERT ON ledger_entry
    REFERENCING NEW TABLE AS new_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_entry_zero_sum();

CREATE TABLE wallet_log (
    workspace_id uuid NOT NULL REFERENCES wallet,
    sequence bigint NOT NULL,
    txn_id uuid NOT NULL UNIQUE REFERENCES ledger_txn,
    posted_after bigint NOT NULL,
    held_after bigint NOT NULL,
    frozen_after bigint NOT NULL,
    receivable_after bigint NOT NULL,
    previous_hash bytea NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (workspace_id, sequence)
);

CREATE TABLE edge_epoch (
    edge_id integer NOT NULL,
    epoch bigint NOT NULL,
    boot_nonce bytea NOT NULL UNIQUE CHECK (octet_length(boot_nonce) = 16),
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    acked_sequence bigint NOT NULL,
    missing_frames bigint NOT NULL,
    PRIMARY KEY (edge_id, epoch)
);

CREATE TABLE lease (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES wallet,
    edge_id integer NOT NULL,
    epoch bigint NOT NULL,
    granted_total bigint NOT NULL CHECK (granted_total >= 0),
    returned_total bigint NOT NULL CHECK (returned_total >= 0),
    settled_total bigint NOT NULL CHECK (settled_total >= 0),
    acquire_number bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL,
    recalled_at timestamptz,
    closed_at timestamptz,
    FOREIGN KEY (edge_id, epoch) REFERENCES edge_epoch,
    CHECK (granted_total - returned_total - settled_total >= 0)
) WITH (fillfactor = 50);
CREATE INDEX lease_process ON lease (edge_id, epoch, workspace_id, acquire_number);
CREATE UNIQUE INDEX lease_open ON lease (edge_id, epoch, workspace_id) WHERE closed_at IS NULL;
CREATE INDEX lease_open_workspace ON lease (workspace_id) WHERE closed_at IS NULL;
CREATE INDEX lease_recalled ON lease (edge_id, epoch)
    WHERE recalled_at IS NOT NULL AND closed_at IS NULL;

-- How much of each grant a lease got. Used in the grants' burn order, given back in reverse.
CREATE TABLE lease_slice (
    lease_id uuid NOT NULL REFERENCES lease,
    grant_id uuid NOT NULL REFERENCES credit_grant,
    amount bigint NOT NULL CHECK (amount > 0),
    used bigint NOT NULL CHECK (used >= 0),
    returned bigint NOT NULL CHECK (returned >= 0),
    PRIMARY KEY (lease_id, grant_id),
    CHECK (amount - used - returned >= 0)
) WITH (fillfactor = 50);

CREATE TABLE limit_window (
    key_id uuid NOT NULL REFERENCES api_key,
    window_start timestamptz NOT NULL,
    requests bigint NOT NULL CHECK (requests >= 0),
    tokens bigint NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (key_id, window_start)
);
CREATE TABLE limit_permit (
    key_id uuid NOT NULL REFERENCES api_key,
    edge_id integer NOT NULL,
    epoch bigint NOT NULL,
    permits bigint NOT NULL CHECK (permits >= 0),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (key_id, edge_id, epoch)
);
CREATE TABLE spend_window (
    key_id uuid NOT NULL REFERENCES api_key,
    period smallint NOT NULL CHECK (period BETWEEN 1 AND 3), -- day, month, life
    period_start date NOT NULL,
    granted bigint NOT NULL CHECK (granted >= 0),
    PRIMARY KEY (key_id, period, period_start)
);

-- Completed means: a usage record with that request id exists.
CREATE TABLE idempotency_key (
    workspace_id uuid NOT NULL REFERENCES workspace,
    key_hash bytea NOT NULL CHECK (octet_length(key_hash) = 32),
    request_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, key_hash)
);

-- One wide immutable row a request. Partitioned by the month of the id (UTC); no default partition.
CREATE TABLE usage_record (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    key_id uuid NOT NULL,
    edge_id integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    started_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    model_number integer NOT NULL,
    requested_lane smallint NOT NULL,
    served_lane smallint NOT NULL,
    upstream_number integer NOT NULL,
    endpoint smallint NOT NULL,
    streamed boolean NOT NULL,
    input_tokens bigint NOT NULL CHECK (input_tokens >= 0),
    cached_input_tokens bigint NOT NULL CHECK (cached_input_tokens >= 0),
    cache_write_tokens bigint NOT NULL CHECK (cache_write_tokens >= 0),
    cache_write_long_tokens bigint NOT NULL CHECK (cache_write_long_tokens >= 0),
    output_tokens bigint NOT NULL CHECK (output_tokens >= 0),
    reasoning_tokens bigint NOT NULL CHECK (reasoning_tokens >= 0),
    audio_input_tokens bigint NOT NULL CHECK (audio_input_tokens >= 0),
    audio_output_tokens bigint NOT NULL CHECK (audio_output_tokens >= 0),
    image_input_tokens bigint NOT NULL CHECK (image_input_tokens >= 0),
    image_output_tokens bigint NOT NULL CHECK (image_output_tokens >= 0),
    requests bigint NOT NULL CHECK (requests >= 0),
    tool_calls bigint NOT NULL CHECK (tool_calls >= 0),
    outcome smallint NOT NULL,
    error_class smallint NOT NULL,
    finish_reason smallint NOT NULL,
    http_status smallint NOT NULL,
    first_token_ms integer NOT NULL,
    total_ms integer NOT NULL,
    price_version integer NOT NULL,
    charge_nanos bigint NOT NULL CHECK (charge_nanos >= 0),
    waived_nanos bigint NOT NULL CHECK (waived_nanos >= 0),
    waive_reason smallint NOT NULL,
    usage_source smallint NOT NULL,
    hold_nanos bigint NOT NULL CHECK (hold_nanos >= 0),
    -- five numbers an attempt: upstream, http status, error class, started ms, duration ms
    attempts integer[] NOT NULL,
    attempts_omitted integer NOT NULL,
    delivered_events integer NOT NULL,
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    settlement_id uuid NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX usage_record_workspace ON usage_record (workspace_id, id);
CREATE INDEX usage_record_settlement ON usage_record (settlement_id);

-- Records older than the archive watermark: charge 0, the figure in waived_nanos.
CREATE TABLE usage_late (
    LIKE usage_record INCLUDING DEFAULTS INCLUDING CONSTRAINTS, PRIMARY KEY (id)
);

CREATE TABLE usage_hourly (
    workspace_id uuid NOT NULL,
    hour timestamptz NOT NULL,
    key_id uuid NOT NULL,
    model_number integer NOT NULL,
    lane smallint NOT NULL,
    requests bigint NOT NULL,
    failed_requests bigint NOT NULL,
    quantities bigint[] NOT NULL CHECK (array_length(quantities, 1) = 12),
    charge_nanos bigint NOT NULL,
    waived_nanos bigint NOT NULL,
    PRIMARY KEY (workspace_id, hour, key_id, model_number, lane)
) WITH (fillfactor = 70);

-- Usage records of months before this one are in the archive only.
CREATE TABLE archive_watermark (
    single boolean PRIMARY KEY CHECK (single),
    month date NOT NULL
);
INSERT INTO archive_watermark VALUES (true, '1970-01-01');
