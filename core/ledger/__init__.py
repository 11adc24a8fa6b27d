"""The ledger: accounts, wallets, credit grants, leases and their proofs. See README.md."""
