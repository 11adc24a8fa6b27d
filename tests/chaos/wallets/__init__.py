"""`python -m tests.chaos.wallets`: many writers on many wallets, and never a deadlock."""
