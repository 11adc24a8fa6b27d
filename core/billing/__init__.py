"""Money from outside: payments, refunds, disputes, and the documents about them. See README.md."""
