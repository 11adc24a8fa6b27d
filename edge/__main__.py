"""`python -m edge`: one worker of the HTTP edge."""

from __future__ import annotations

import click
import uvloop

from edge.app import serve
from edge.settings import EdgeSettings
from kit.log import silence_libraries


@click.command()
@click.option("--slot", default=0, show_default=True, help="The number of this worker.")
def main(slot: int) -> None:
    """Run one worker of the HTTP edge."""
    silence_libraries()
    uvloop.run(serve(EdgeSettings(), slot))


if __name__ == "__main__":
    main()
