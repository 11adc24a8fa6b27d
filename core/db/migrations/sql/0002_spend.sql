-- What keys with spend limits have spent, exactly: charges of records, and what edges have open.

-- What was granted to edges was counted as spent, and never given back: the sums are made anew from
-- the rollups when a key is first asked about.
DELETE FROM spend_window;
ALTER TABLE spend_window RENAME COLUMN granted TO charged;

-- What an edge process may still spend for a key's requests of one UTC day (that of their ids).
CREATE TABLE spend_slice (
    id uuid PRIMARY KEY,
    key_id uuid NOT NULL REFERENCES api_key,
    edge_id integer NOT NULL,
    epoch bigint NOT NULL,
    day date NOT NULL,
    granted_total bigint NOT NULL CHECK (granted_total >= 0),
    returned_total bigint NOT NULL CHECK (returned_total BETWEEN 0 AND granted_total),
    settled_total bigint NOT NULL CHECK (settled_total >= 0),
    renewed_at timestamptz NOT NULL,
    recalled_at timestamptz,
    UNIQUE (key_id, edge_id, epoch, day),
    FOREIGN KEY (edge_id, epoch) REFERENCES edge_epoch
) WITH (fillfactor = 50);
CREATE INDEX spend_slice_process ON spend_slice (edge_id, epoch);
CREATE INDEX spend_slice_recalled ON spend_slice (edge_id, epoch) WHERE recalled_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON spend_slice TO oneapi_system;
GRANT DELETE ON spend_window TO oneapi_system;
