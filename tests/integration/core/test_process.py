"""Core as a process: prepares its database, serves, survives restarts, stops when told."""

from __future__ import annotations

import signal
import stat
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from core.keyring import parse_keyring
from kit.ids import parse_id
from kit.rpc.client import sync_channel
from kit.rpc.status import domain_error_of
from kit.secret import secret_hash
from oneapi.admission.v1 import admission_service_pb2 as pb
from oneapi.admission.v1 import admission_service_pb2_grpc, grant_pb2
from tests.support.core_process import TOKENS, CoreProcess, running


@pytest.mark.slow
def test_a_new_database_serves_an_example_whose_key_works(
    empty_database: str, tmp_path: Path
) -> None:
    """Roles, schema, seed, workspace, credit and key: all from nothing, by one command."""
    with running(tmp_path, empty_database) as core:
        pepper = parse_keyring((tmp_path / "keys" / "pepper.json").read_text()).by_version[1]
        with sync_channel(core.target, TOKENS["edge"]) as channel:
            stub = admission_service_pb2_grpc.AdmissionServiceStub(channel)
            hashes = [secret_hash(core.example["api_key"], pepper)]
            answer = stub.GetGrant(pb.GetGrantRequest(secret_hashes=hashes), timeout=10)
            watch = stub.WatchChanges(pb.WatchChangesRequest(epoch=_epoch(stub)), timeout=10)
            catalog = next(iter(watch)).catalog
            watch.cancel()
    assert answer.grant.state == grant_pb2.Grant.STATE_ACTIVE
    assert answer.grant.workspace_id == parse_id("ws", core.example["workspace_id"])
    assert core.example["demo_model"] in {model.public_id for model in catalog.models}
    mode = stat.S_IMODE((tmp_path / "dev" / "example.json").stat().st_mode)
    assert mode == 0o600


def _epoch(stub: Any) -> int:
    request = pb.OpenEpochRequest(edge_id=0, boot_nonce=b"n" * 16)
    epoch: int = stub.OpenEpoch(request, timeout=10).epoch
    return epoch


@pytest.mark.slow
def test_a_restart_keeps_the_example_and_changes_no_price(
    empty_database: str, tmp_path: Path
) -> None:
    """What people have and pay does not depend on how often core starts."""
    with running(tmp_path, empty_database) as core:
        before = core.example
        assert core.stop() == 0
    counts = _counts(empty_database)
    with running(tmp_path, empty_database) as core:
        assert core.example == before
        assert core.stop() == 0
    assert _counts(empty_database) == counts


def _counts(dsn: str) -> list[int]:
    tables = ("price_version", "workspace", "api_key", "credit_grant", "change_log", "audit_log")
    with psycopg.connect(dsn) as connection:
        connection.execute("SET ROLE oneapi_system")
        found = [connection.execute(f"SELECT count(*) FROM {name}").fetchone() for name in tables]
    return [row[0] for row in found if row is not None]


@pytest.mark.slow
def test_core_stops_although_an_edge_still_follows_it(empty_database: str, tmp_path: Path) -> None:
    """A stream that never ends by itself does not use up the time to stop."""
    with running(tmp_path, empty_database) as core:
        with sync_channel(core.target, TOKENS["edge"]) as channel:
            stub = admission_service_pb2_grpc.AdmissionServiceStub(channel)
            watch = stub.WatchChanges(pb.WatchChangesRequest(epoch=_epoch(stub)), timeout=60)
            next(iter(watch))
            core.process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError) as caught:
                list(watch)
        assert domain_error_of(caught.value).metadata == {"cause": "stopping"}
        assert core.process.wait(20) == 0


@pytest.mark.slow
def test_production_refuses_to_start_and_says_what_is_missing(
    empty_database: str, tmp_path: Path
) -> None:
    """Tokens on loopback protect nobody elsewhere."""
    core = CoreProcess(tmp_path, empty_database, PROFILE="production")
    assert core.process.wait(30) == 78
    text = core.log.read_text()
    for missing in ("mutual_tls", "pepper_file", "key_encryption_file", "platform_key_file"):
        assert f'"missing":"{missing}"' in text
    assert not (tmp_path / "keys").exists()


@pytest.mark.slow
def test_a_core_without_a_database_ends_and_says_no_text(tmp_path: Path) -> None:
    """The supervisor starts another; the log names the kind of fault, never its message."""
    core = CoreProcess(tmp_path, "postgresql://nobody:hush@/none?host=/nonexistent")
    assert core.process.wait(30) == 1
    text = core.log.read_text()
    assert "core_failed" in text
    assert "hush" not in text
    assert "nonexistent" not in text
