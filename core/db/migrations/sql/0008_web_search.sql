-- How often one request may make a provider search the web, and how much one search adds.
-- Of models from before nobody has said it: refused.

ALTER TABLE model
    ADD COLUMN tool_calls_max integer NOT NULL DEFAULT 0
        CHECK (tool_calls_max BETWEEN 0 AND 100),
    ADD COLUMN tool_call_max_tokens bigint NOT NULL DEFAULT 0
        CHECK (tool_call_max_tokens >= 0);
