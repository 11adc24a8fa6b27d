"""`python -m tests.contract.clients [--only native|crossed] [NAME ...]`: run clients, say how.

Without a name all of them run. A name is any part of a client's name. docs/clients.md is written
anew once each client has run here. Exit code 1 if a cell is neither green nor explained.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from tests.contract.clients import found, page
from tests.contract.clients.matrix import CLIENTS
from tests.contract.clients.run import rows, tell
from tests.contract.clients.served import APIS, served

UPSTREAMS = ("native", "crossed")


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--only", choices=UPSTREAMS)
    parser.add_argument("--api", choices=APIS, help="only clients of one API")
    given = parser.parse_args()
    chosen = [
        one
        for one in CLIENTS
        if given.api in {None, one.api}
        and (not given.names or any(part.lower() in one.name.lower() for part in given.names))
    ]
    if not chosen:
        parser.error("no such client")
    done = []
    with served() as here:
        for one in rows(chosen, here, [given.only] if given.only else UPSTREAMS):
            tell(one)
            found.keep([one], datetime.now(UTC).date())
            done.append(one)
    if (every := found.complete(CLIENTS)) is not None:
        page.PAGE.write_text(page.rendered(*every))
    return int(any(one.faults() for one in done))


if __name__ == "__main__":
    sys.exit(main())
