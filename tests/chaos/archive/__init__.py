"""Months of usage through the archive with a moved clock, and what must hold at every moment."""
