"""`python -m tests.chaos.overshoot`: what can be charged beyond the credit that there was."""
