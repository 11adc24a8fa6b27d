"""Turns closed months of usage metadata into files. Today it is a process that says it lives."""
