-- Workspaces, API keys, the catalogue, the change feed and the audit log.

CREATE TABLE workspace (
    id uuid PRIMARY KEY,
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 120),
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 3),
    default_lane smallint NOT NULL CHECK (default_lane BETWEEN 1 AND 5),
    created_at timestamptz NOT NULL,
    version bigint NOT NULL
);

CREATE TABLE api_key (
    id uuid PRIMARY KEY,
    workspace_id uuid NOT NULL REFERENCES workspace,
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 120),
    secret_hint text NOT NULL CHECK (char_length(secret_hint) <= 16),
    secret_hash bytea NOT NULL UNIQUE CHECK (octet_length(secret_hash) = 32),
    pepper_version smallint NOT NULL,
    previous_secret_hash bytea UNIQUE CHECK (octet_length(previous_secret_hash) = 32),
    previous_secret_expires_at timestamptz,
    -- active, disabled, revoked; expiry is decided on read
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 3),
    lane smallint NOT NULL CHECK (lane BETWEEN 0 AND 5),
    allowed_models text[] NOT NULL,
    default_model text NOT NULL,
    model_aliases jsonb NOT NULL,
    requests_per_minute bigint NOT NULL CHECK (requests_per_minute >= 0),
    tokens_per_minute bigint NOT NULL CHECK (tokens_per_minute >= 0),
    concurrent_requests bigint NOT NULL CHECK (concurrent_requests >= 0),
    spend_per_day bigint NOT NULL CHECK (spend_per_day >= 0),
    spend_per_month bigint NOT NULL CHECK (spend_per_month >= 0),
    spend_total bigint NOT NULL CHECK (spend_total >= 0),
    allowed_networks text[] NOT NULL,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    version bigint NOT NULL
);
CREATE INDEX api_key_workspace ON api_key (workspace_id, id);

CREATE TABLE api_key_event (
    key_id uuid NOT NULL REFERENCES api_key,
    version bigint NOT NULL,
    workspace_id uuid NOT NULL REFERENCES workspace,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 7),
    occurred_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor ~ '^[a-z0-9_.:-]{1,64}$'),
    PRIMARY KEY (key_id, version)
);

-- Answers of calls that carry a request id (AIP-155): same id and content replays, other content
-- is refused.
CREATE TABLE call_replay (
    method text NOT NULL CHECK (method ~ '^[A-Za-z.]{1,64}$'),
    request_id text NOT NULL CHECK (request_id ~ '^[0-9A-Za-z_-]{8,64}$'),
    content_hash bytea NOT NULL CHECK (octet_length(content_hash) = 32),
    object_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (method, request_id)
);

CREATE TABLE model (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    public_id text NOT NULL UNIQUE CHECK (public_id ~ '^[a-z0-9][a-z0-9._/:-]{0,95}$'),
    display_name text NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 120),
    maker text NOT NULL CHECK (maker ~ '^[a-z0-9_.-]{1,64}$'),
    context_tokens bigint NOT NULL CHECK (context_tokens > 0),
    max_output_tokens bigint NOT NULL CHECK (max_output_tokens > 0),
    input_overhead_tokens bigint NOT NULL CHECK (input_overhead_tokens >= 512),
    input_overhead_with_tools_tokens bigint NOT NULL
        CHECK (input_overhead_with_tools_tokens >= 512),
    image_max_tokens bigint NOT NULL CHECK (image_max_tokens >= 0),
    audio_max_tokens bigint NOT NULL CHECK (audio_max_tokens >= 0),
    file_max_tokens bigint NOT NULL CHECK (file_max_tokens >= 0),
    reasoning_beyond_limit_tokens bigint NOT NULL CHECK (reasoning_beyond_limit_tokens >= 0),
    capabilities text[] NOT NULL,
    enabled boolean NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE model_alias (
    alias text PRIMARY KEY CHECK (alias ~ '^[a-z0-9][a-z0-9._/:-]{0,95}$'),
    model_number integer NOT NULL REFERENCES model
);

CREATE TABLE upstream (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9_.-]{1,64}$'),
    base_url text NOT NULL CHECK (base_url ~ '^https?://[^ ]{1,240}$'),
    dialect smallint NOT NULL CHECK (dialect BETWEEN 1 AND 3),
    stream_end smallint NOT NULL CHECK (stream_end BETWEEN 1 AND 2),
    disconnect_policy smallint NOT NULL CHECK (disconnect_policy BETWEEN 1 AND 2),
    bills_refused boolean NOT NULL,
    enabled boolean NOT NULL,
    credential_sealed bytea,
    created_at timestamptz NOT NULL
);

CREATE TABLE route (
    model_number integer NOT NULL REFERENCES model,
    lane smallint NOT NULL CHECK (lane BETWEEN 1 AND 5),
    max_attempts smallint NOT NULL CHECK (max_attempts BETWEEN 1 AND 16),
    PRIMARY KEY (model_number, lane)
);

CREATE TABLE route_candidate (
    model_number integer NOT NULL,
    lane smallint NOT NULL,
    upstream_number integer NOT NULL REFERENCES upstream,
    upstream_model text NOT NULL CHECK (upstream_model ~ '^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,127}$'),
    weight integer NOT NULL CHECK (weight BETWEEN 1 AND 1000000),
    priority integer NOT NULL CHECK (priority >= 0),
    first_byte_timeout_ms integer NOT NULL CHECK (first_byte_timeout_ms > 0),
    idle_timeout_ms integer NOT NULL CHECK (idle_timeout_ms > 0),
    PRIMARY KEY (model_number, lane, upstream_number, upstream_model),
    FOREIGN KEY (model_number, lane) REFERENCES route ON DELETE CASCADE
);

CREATE TABLE price_version (
    number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_number integer NOT NULL REFERENCES model,
    lane smallint NOT NULL CHECK (lane BETWEEN 1 AND 5),
    effective_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    UNIQUE (model_number, lane, effective_from)
);

CREATE TABLE price_tier (
    price_version integer NOT NULL REFERENCES price_version,
    above_context_tokens bigint NOT NULL CHECK (above_context_tokens >= 0),
    rates bigint[] NOT NULL CHECK (array_length(rates, 1) = 12 AND 0 <= ALL (rates)),
    PRIMARY KEY (price_version, above_context_tokens)
);

-- The change feed. The counter row is locked last, right before COMMIT: commit order is sequence
-- order.
CREATE TABLE change_counter (
    single boolean PRIMARY KEY CHECK (single),
    sequence bigint NOT NULL
);
INSERT INTO change_counter VALUES (true, 0);
CREATE TABLE change_log (
    sequence bigint PRIMARY KEY,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 3), -- key, workspace, catalogue
    object_id uuid,
    created_at timestamptz NOT NULL
);

CREATE TABLE audit_log (
    id uuid PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    actor text NOT NULL CHECK (actor ~ '^[a-z0-9_.:-]{1,64}$'),
    action text NOT NULL CHECK (action ~ '^[A-Za-z._]{1,64}$'),
    object_id text NOT NULL CHECK (object_id ~ '^[A-Za-z0-9_./:-]{0,96}$'),
    workspace_id uuid
);
CREATE INDEX audit_log_workspace ON audit_log (workspace_id, id);

-- Things that must not happen and did: for operators. Numbers and ids only.
CREATE TABLE alarm (
    id uuid PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,64}$'),
    edge_id integer,
    epoch bigint,
    object_id text NOT NULL CHECK (object_id ~ '^[A-Za-z0-9_./:-]{0,96}$'),
    expected bigint,
    found bigint
);
CREATE INDEX alarm_object ON alarm (object_id);
