"""The edge's commands of `1api`. Their modules import little, so that they start quickly."""

from __future__ import annotations

import click

from edge.incident.command import incident

commands: list[click.Command] = [incident]
