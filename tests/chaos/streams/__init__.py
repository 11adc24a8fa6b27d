"""Streams that break, are left, stall or are silent, as clients and records see it."""
