-- Whose claim an idempotency key is, so that it ends with the edge process that made it.

-- Keys that were claimed before have neither and stay taken for their 24 hours.
ALTER TABLE idempotency_key
    ADD COLUMN edge_id integer,
    ADD COLUMN epoch bigint,
    -- The request was refused: anybody else may have the key, its own late claim may not.
    ADD COLUMN released boolean NOT NULL DEFAULT false,
    ADD FOREIGN KEY (edge_id, epoch) REFERENCES edge_epoch;
CREATE INDEX idempotency_key_process ON idempotency_key (edge_id, epoch);
