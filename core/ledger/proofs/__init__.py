"""Proofs: replays what the ledger says of itself and reports what does not add up."""
