"""Bad input and abuse against the running service: `python -m tests.chaos.badinput`."""
