-- How a route chooses among its candidates and waits for them: data, not code for each lane.

ALTER TABLE route
    ADD COLUMN balance smallint NOT NULL DEFAULT 1 CHECK (balance BETWEEN 1 AND 3),
    ADD COLUMN spare_only boolean NOT NULL DEFAULT false,
    ADD COLUMN queue_rank smallint NOT NULL DEFAULT 10 CHECK (queue_rank BETWEEN 0 AND 100),
    ADD COLUMN queue_wait_ms integer NOT NULL DEFAULT 0
        CHECK (queue_wait_ms BETWEEN 0 AND 600000);
ALTER TABLE route_candidate
    ADD COLUMN max_running integer NOT NULL DEFAULT 0 CHECK (max_running >= 0);

-- Routes that are there get what an import gives a lane by default (core/catalog/document.py).
UPDATE route SET queue_wait_ms = 2000 WHERE lane = 1;
UPDATE route SET queue_rank = 20, queue_wait_ms = 30000 WHERE lane = 2;
UPDATE route SET balance = 2, queue_wait_ms = 10000 WHERE lane = 3;
UPDATE route SET balance = 3, queue_rank = 0, queue_wait_ms = 5000 WHERE lane = 4;
UPDATE route SET spare_only = true, queue_rank = 30 WHERE lane = 5;
