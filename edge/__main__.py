"""`python -m edge`: one worker of the HTTP edge."""

from __future__ import annotations

import os
import sys

import click
import uvloop

from edge import landlock
from edge.app import serve
from edge.metering.slot import spool_root
from edge.settings import EdgeSettings
from kit.lockdown import lock_down, refuses_to_start
from kit.log import EventLog
from kit.settings import read_or_refuse


@click.command()
@click.option("--slot", default=0, show_default=True, help="The number of this worker.")
def main(slot: int) -> None:
    """Run one worker of the HTTP edge."""
    log = EventLog("edge")
    lock_down(log)
    settings = read_or_refuse(EdgeSettings, log)
    if refuses_to_start(log, os.environ, settings.profile):
        sys.exit(os.EX_CONFIG)
    # Before the loop and gRPC start threads, which inherit it; nothing could confine them later.
    version = landlock.confine_writes(spool_root(settings.data_dir))
    log.event("edge_confined", landlock=version)
    sys.exit(uvloop.run(serve(settings, slot, landlock_version=version)))


if __name__ == "__main__":
    main()
