"""The suites that attack the guarantees: `make chaos ROUNDS=n`, one after the other."""
