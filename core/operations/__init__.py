"""Looks after the installation: what core sees of itself, its database and its books."""
