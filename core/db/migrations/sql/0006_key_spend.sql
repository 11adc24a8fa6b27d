-- Summing up what one key was charged in a period, which happens under its wallet's lock.
CREATE INDEX usage_hourly_of_key ON usage_hourly (key_id, hour);
