"""Sole owner of the database and of money."""
