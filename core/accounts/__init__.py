"""Workspaces: the tenants that own keys, credits and usage."""
