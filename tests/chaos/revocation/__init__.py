"""`python -m tests.chaos.revocation --rounds N`: what is taken away stops working everywhere."""
