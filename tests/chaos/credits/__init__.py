"""`python -m tests.chaos.credits --rounds N`: nothing is overspent, and no credit gets stuck."""
