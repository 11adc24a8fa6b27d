"""API keys through their life: keyed hashes, settings, limits, and a record of each step."""
