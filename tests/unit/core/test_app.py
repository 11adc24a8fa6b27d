"""What core gives its parts."""

from __future__ import annotations

import io
from pathlib import Path

from core.app import Core
from core.ledger.rpc import LEDGER_NAME, LedgerServicer
from core.settings import CoreSettings
from kit.clock import SystemClock
from kit.log import EventLog


def test_a_proof_that_is_asked_for_takes_no_connection_from_other_work(tmp_path: Path) -> None:
    """It may take an hour; the pool for that is its own, and has room for the daily one."""
    settings = CoreSettings(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none", data_dir=tmp_path)
    core = Core(settings, EventLog("core", stream=io.StringIO()), SystemClock())
    (ledger,) = [each for each in core._services() if each.name == LEDGER_NAME]
    assert isinstance(ledger.servicer, LedgerServicer)
    assert ledger.servicer._proof_pool is core._proof_pool
