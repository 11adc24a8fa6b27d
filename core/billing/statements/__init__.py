"""Statements: what happened to a workspace's credit in a month, from receipts to usage."""
