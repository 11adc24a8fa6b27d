-- Finding credit that has expired. Only of the column that never changes: updates stay cheap.
CREATE INDEX credit_grant_expiry ON credit_grant (expires_at) WHERE expires_at IS NOT NULL;
