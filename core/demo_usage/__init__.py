"""Months of made-up usage, for the dev profile: what an archive looks like before there is one."""
