"""Core's commands of `1api`. Their modules import little, so that every command starts quickly."""

from __future__ import annotations

import click

from core.cli.catalog import catalog
from core.cli.key import key
from core.cli.up import up

commands: list[click.Command] = [up, key, catalog]
