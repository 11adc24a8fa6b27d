"""Commands of the edge for `1api`: none of its own yet; what it does is seen through core."""

from __future__ import annotations

import click

commands: list[click.Command] = []
