"""What must be so in the end: of each record, of each file, and of what is called verified."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archiver.calendar import format_month
from archiver.columns import to_nanos
from archiver.manifest import parse_manifest
from archiver.totals import rows_of
from archiver.verify import NotProved, verify_month
from kit.ids import format_id
from kit.platform_keys import PublicKeys, parse_keys
from oneapi.billing.v1 import receipt_service_pb2, receipt_service_pb2_grpc
from oneapi.metering.v1 import usage_service_pb2 as usage_pb
from oneapi.metering.v1.usage_service_pb2_grpc import UsageServiceStub
from oneapi.partitions.v1 import partition_service_pb2 as pb
from oneapi.partitions.v1.partition_pb2 import ArchiveFile
from tests.chaos.archive_kills.points import MONTH
from tests.chaos.archive_kills.world import World
from tests.support.recordings import PROJECT

PAGE = 1_000
DELETION = "deletion/"
_CONSOLE = "from kit.cli import main; main()"
_LEDGER = """
SELECT CAST(coalesce(sum(e.amount), 0) AS bigint)
  FROM ledger_entry AS e JOIN ledger_txn AS t ON t.id = e.txn_id
 WHERE e.account = 'rev.usage' AND t.usage_month = DATE '2026-03-01'
"""


def each_record_once(here: World, made: Mapping[bytes, bytes]) -> str:
    """Each record is hot or in a proved file of its workspace, never both, never twice."""
    hot = _hot(here)
    archived, nanos = _archived(here)
    twice = set(hot) & set(archived)
    assert not twice, f"{len(twice)} records are readable twice"
    found = {**hot, **archived}
    assert found.keys() >= made.keys(), f"{len(made.keys() - found.keys())} records are lost"
    assert found == made, f"{len(found.keys() - made.keys())} records came from nowhere"
    reported = here.reporter.reported
    assert reported.items() <= made.items(), "what was acknowledged is not there"
    ledger = here.rows(_LEDGER)[0][0]
    hot_nanos = _charges(here, set(hot))
    assert nanos + hot_nanos == ledger, f"files and hot {nanos + hot_nanos}, ledger {ledger}"
    return f"{len(made)} records, {len(archived)} in files"


def only_what_is_published(here: World) -> str:
    """Every file that core names is stored as it was, and no manifest but those that it names.

    An attempt that was cut off may leave data files that nothing refers to; they go with the month.
    """
    files = {file.name: file for file in _files(here, newest_only=False)}
    stored = _stored(here)
    assert files.keys() <= stored, f"missing: {sorted(files.keys() - stored)[:3]}"
    others = {name for name in stored - files.keys() if not name.startswith(DELETION)}
    loose = [name for name in others if name.startswith("manifest/")]
    assert not loose, f"nobody published {loose[:3]}"
    for name, file in files.items():
        found = asyncio.run(here.store.measure(name))
        assert (found.size_bytes, found.sha256) == (file.size_bytes, file.sha256), name
    return f"{len(files)} files, {len(others)} that nothing names"


def flips_are_found(here: World, chance: random.Random) -> str:
    """One bit of any file, the manifest too, and the month is not proved."""
    tried = 0
    for name in _manifests(here):
        with tempfile.TemporaryDirectory() as folder:
            content, paths = _fetched(here, name, Path(folder))
            verify_month(content, _keys(here), paths.__getitem__)
            for path in paths.values():
                sound = path.read_bytes()
                path.write_bytes(_flipped(sound, chance))
                assert not _is_proved(here, content, paths), "a flipped bit was not found"
                path.write_bytes(sound)
                tried += 1
            assert not _is_proved(here, _flipped(content, chance), paths), "in the manifest"
            tried += 1
    return f"{tried} flips found"


def command_verifies(here: World, chance: random.Random) -> str:
    """`1api archive verify` says so of a sound month's files, and not with a flipped bit."""
    name = chance.choice(_manifests(here))
    with tempfile.TemporaryDirectory() as folder:
        content, paths = _fetched(here, name, Path(folder))
        (Path(folder) / "manifest.json").write_bytes(content)
        keys = Path(folder) / "keys"
        keys.write_bytes(_key_set(here))
        assert _command(folder, keys) == 0, "a sound month was refused"
        path = chance.choice(list(paths.values()))
        path.write_bytes(_flipped(path.read_bytes(), chance))
        assert _command(folder, keys) != 0, "a flipped bit was called verified"
    return "the command agrees"


def nothing_is_left(here: World) -> str:
    """Two years later: no file, no row, and a record of what was deleted."""
    assert not _files(here, newest_only=False)
    stored = sorted(_stored(here))
    assert stored, "no record of the deletion"
    assert all(name.startswith(DELETION) for name in stored), stored[:3]
    assert here.rows("SELECT count(*) FROM usage_late")[0][0] == 0, "late records are kept"
    tables = here.rows("SELECT count(*) FROM pg_class WHERE relname = 'usage_record_y2026m03'")
    assert tables[0][0] == 0, "rows are kept"
    assert not _hot(here)
    return f"{len(stored)} record of deletion"


def audit_verifies(here: World) -> str:
    """`1api audit verify` finds nothing."""
    answer = subprocess.run(
        [sys.executable, "-c", _CONSOLE, "audit", "verify", "--json"],
        cwd=PROJECT,
        env={
            **os.environ,
            "ONEAPI_CORE_TARGET": here.core_target,
            "ONEAPI_DATA_DIR": str(here.site.core_folder),
        },
        capture_output=True,
        check=False,
    )
    found: dict[str, Any] = json.loads(answer.stdout or answer.stderr)
    assert answer.returncode == 0, found
    return f"{found.get('records', 0)} records proved"


def _hot(here: World) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for customer in here.site.customers:
        token = ""
        while True:
            request = usage_pb.ListUsageRequest(
                workspace_id=format_id("ws", customer.workspace_id),
                page_size=PAGE,
                page_token=token,
            )
            page = here.link.call(UsageServiceStub, "ListUsage", request)
            for each in page.usages:
                identifier = bytes.fromhex(each.request_id.split("_")[1])
                assert identifier not in found, "a record is hot twice"
                found[identifier] = customer.workspace_id
            token = page.next_page_token
            if not token:
                break
    return found


def _charges(here: World, ids: set[bytes]) -> int:
    rows = here.rows("SELECT id, charge_nanos FROM usage_record")
    return sum(charge for identifier, charge in rows if identifier.bytes in ids)


def _archived(here: World) -> tuple[dict[bytes, bytes], int]:
    found: dict[bytes, bytes] = {}
    nanos = 0
    for name in _manifests(here):
        with tempfile.TemporaryDirectory() as folder:
            content, paths = _fetched(here, name, Path(folder))
            manifest = verify_month(content, _keys(here), paths.__getitem__)
            for part in manifest.parts:
                if part.kind != ArchiveFile.KIND_USAGE_PARQUET:
                    continue
                for batch in rows_of(paths[part.name]):
                    for identifier in batch.column("request_id").to_pylist():
                        assert identifier.bytes not in found, "a record is in two files"
                        found[identifier.bytes] = manifest.workspace_id
                    nanos += sum(map(to_nanos, batch.column("charge").to_pylist()))
    return found, nanos


def _stored(here: World) -> set[str]:
    """Return the names of all objects of the month."""
    names = asyncio.run(here.store.names(""))
    return {name for name in names if f"month={format_month(MONTH)}" in name}


def _manifests(here: World) -> list[str]:
    files = _files(here, newest_only=True)
    return [file.name for file in files if file.kind == ArchiveFile.KIND_MANIFEST]


def _files(here: World, *, newest_only: bool) -> list[Any]:
    request = pb.ListFilesRequest(
        month=format_month(MONTH), newest_only=newest_only, page_size=10_000
    )
    entries = here.call("ListFiles", request).entries
    return [each.file for each in entries if not each.file.HasField("deleted_at")]


def _fetched(here: World, name: str, folder: Path) -> tuple[bytes, dict[str, Path]]:
    async def fetch() -> tuple[bytes, dict[str, Path]]:
        content = await here.store.read(name)
        paths = {}
        for part in parse_manifest(content).parts:
            paths[part.name] = folder / part.name.rsplit("/", 1)[-1]
            await here.store.fetch(part.name, paths[part.name])
        return content, paths

    return asyncio.run(fetch())


def _is_proved(here: World, content: bytes, paths: Mapping[str, Path]) -> bool:
    try:
        verify_month(content, _keys(here), paths.__getitem__)
    except (NotProved, ValueError, LookupError):
        return False
    return True


def _keys(here: World) -> PublicKeys:
    return parse_keys(_key_set(here))


def _key_set(here: World) -> bytes:
    request = receipt_service_pb2.GetPlatformKeysRequest()
    stub = receipt_service_pb2_grpc.ReceiptServiceStub
    found: bytes = here.link.call(stub, "GetPlatformKeys", request).content
    return found


def _command(folder: str, keys: Path) -> int:
    return subprocess.run(
        [sys.executable, "-c", _CONSOLE, "archive", "verify", folder, "--keys", str(keys)],
        cwd=PROJECT,
        capture_output=True,
        check=False,
    ).returncode


def _flipped(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)
