"""Fuzzing of the parsers and of the API: `python -m tests.fuzz sse|spool|head|api --seconds N`."""
