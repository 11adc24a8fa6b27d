"""Where the archive's files are: a local folder, S3, Google Cloud Storage or Azure."""
