"""Disputes: what is frozen for them, what speaks for us, and how they end; fraud warnings."""
