"""Core's commands of `1api`. Their modules import little, so that every command starts quickly."""

from __future__ import annotations

import click

from core.cli.audit import audit
from core.cli.catalog import catalog
from core.cli.credit import credit
from core.cli.demo import demo
from core.cli.dispute import dispute
from core.cli.key import key
from core.cli.ledger import ledger
from core.cli.receipt import receipt
from core.cli.refund import refund
from core.cli.restart import restart
from core.cli.up import up
from core.cli.usage import usage
from core.cli.workspace import workspace

commands: list[click.Command] = [
    *(up, restart, workspace, key, credit, refund, dispute, usage, catalog),
    *(ledger, audit, receipt, demo),
]
