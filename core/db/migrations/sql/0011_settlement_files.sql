-- The settlements of a workspace's month in the archive are a file of their own (kind 6).
ALTER TABLE archive_file
    DROP CONSTRAINT archive_file_kind_check,
    ADD CONSTRAINT archive_file_kind_check CHECK (kind BETWEEN 1 AND 6);
