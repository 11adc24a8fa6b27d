"""`python -m tools.stripe_sim`: a Stripe account on this machine, for development and tests.

The first line of output is `{"port": N}`. Listens on 127.0.0.1 only. The account's key and the
webhook's secrets (separated by commas while they are rotated) are told in the environment: a
command line can be read by everybody on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sys
from pathlib import Path
from typing import Final

import uvicorn

from kit.clock import clock_for
from tools.stripe_sim.app import Settings, build
from tools.stripe_sim.delivery import Destination, Style

HOST: Final = "127.0.0.1"
STOP_SECONDS_MAX: Final = 2
KEY_VARIABLE: Final = "STRIPE_SIM_API_KEY"
SECRETS_VARIABLE: Final = "STRIPE_SIM_WEBHOOK_SECRETS"
_STYLES: Final[dict[str, list[Style]]] = {
    "snapshot": ["snapshot"],
    "thin": ["thin"],
    "both": ["snapshot", "thin"],
}


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="stripe_sim", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--webhook-url", help="without it no webhook is sent")
    parser.add_argument("--webhook-style", choices=_STYLES, default="snapshot")
    parser.add_argument("--state", type=Path, help="file that keeps the account over restarts")
    parser.add_argument("--test-clock", type=Path, help="file with the seconds to move time by")
    parser.add_argument("--public-url", help="where browsers reach the pages")
    parser.add_argument("--seed", type=int, help="makes the ids repeatable")
    return parser.parse_args()


async def main() -> None:
    """Serve until told to stop."""
    asked = arguments()
    listening = socket.create_server((HOST, asked.port))
    port = listening.getsockname()[1]
    settings = Settings(
        api_key=os.environ[KEY_VARIABLE],
        destination=Destination(
            asked.webhook_url,
            os.environ[SECRETS_VARIABLE].split(","),
            _STYLES[asked.webhook_style],
        ),
        base_url=(asked.public_url or f"http://{HOST}:{port}").rstrip("/"),
        state=asked.state,
        seed=asked.seed,
    )
    app = build(settings, clock_for(asked.test_clock, "test"))
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS_MAX,
    )
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    asyncio.run(main())
