"""Metering: takes usage records from edges exactly once, and shows them. See README.md."""
