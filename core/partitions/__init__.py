"""Months of usage records on their way from the hot store to the archive. README.md says how."""
