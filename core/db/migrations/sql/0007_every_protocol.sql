-- What upstreams serve and keep, kinds of models, states of endpoints, what tenants require.

ALTER TABLE workspace
    ADD COLUMN requires_zero_retention boolean NOT NULL DEFAULT false,
    ADD COLUMN cors_origins text[] NOT NULL DEFAULT '{}'
        CHECK (cardinality(cors_origins) <= 32);
ALTER TABLE api_key
    ADD COLUMN requires_zero_retention boolean NOT NULL DEFAULT false;

ALTER TABLE model
    ADD COLUMN kind smallint NOT NULL DEFAULT 1 CHECK (kind BETWEEN 1 AND 6);
-- 0: not known, which counts as the worst.
ALTER TABLE upstream
    ADD COLUMN surfaces smallint[] NOT NULL DEFAULT '{}' CHECK (0 < ALL (surfaces)),
    ADD COLUMN data_policy smallint NOT NULL DEFAULT 0 CHECK (data_policy BETWEEN 0 AND 3);
ALTER TABLE route_candidate
    ADD COLUMN surfaces smallint[] NOT NULL DEFAULT '{}' CHECK (0 < ALL (surfaces));

CREATE TABLE endpoint_state (
    endpoint smallint PRIMARY KEY CHECK (endpoint > 0),
    status smallint NOT NULL CHECK (status BETWEEN 1 AND 3),
    note text NOT NULL CHECK (char_length(note) <= 200)
);
GRANT SELECT, INSERT, DELETE ON endpoint_state TO oneapi_system;

-- Of records from before nobody knows it. A constant default rewrites no partition.
ALTER TABLE usage_record ADD COLUMN data_policy smallint NOT NULL DEFAULT 0;
ALTER TABLE usage_late ADD COLUMN data_policy smallint NOT NULL DEFAULT 0;
