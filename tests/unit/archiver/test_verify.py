"""A month is proved from its manifest, its files and the platform's keys, or it is not."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from archiver.manifest import Manifest, ManifestNotValid, parse_manifest, read_manifest
from archiver.model import Part, Settlement, settlements_name, usage_name
from archiver.settlements import SettlementFile, leaf_of, settlements_of
from archiver.totals import Tally
from archiver.verify import NotProved, read_totals, verify_month, verify_settlements
from kit.archive_manifest import manifest_message
from kit.canonical import encode
from kit.ids import format_id
from kit.merkle import root
from kit.platform_keys import PublicKeys, key_id_of
from oneapi.partitions.v1.partition_pb2 import ArchiveFile, RevisionReason
from tests.support.archive_rows import MONTH, rows, settlements, workspace
from tests.unit.archiver.test_usage_files import write

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
KEY_ID = key_id_of(PUBLIC)
KEYS = PublicKeys({KEY_ID: PUBLIC})
ROWS = rows(workspace(1), 120)


def signed(manifest: Manifest) -> Manifest:
    """The manifest with the platform's signature."""
    message = manifest_message(
        format_id("ws", manifest.workspace_id), "2026-03", manifest.revision, manifest.sha256()
    )
    return manifest.signed(KEY_ID, KEY.sign(message))


@pytest.fixture
def month(tmp_path: Path) -> tuple[Manifest, Callable[[str], Path]]:
    """A month of one workspace, as it was published."""
    draft = write(tmp_path / "usage.parquet", ROWS)
    totals = read_totals(draft.path)
    name = usage_name(workspace(1), MONTH, 1, draft.sha256)
    part = Part(draft.kind, name, draft.size_bytes, draft.rows, draft.sha256, totals)
    roots = write_settlements(tmp_path / "settlements.parquet", settlements(ROWS))
    manifest = Manifest(
        workspace_id=workspace(1),
        month=MONTH,
        revision=1,
        reason=RevisionReason.REVISION_REASON_INITIAL,
        supersedes=None,
        parts=(part, roots),
        totals=totals,
        ledger_charge_nanos=totals.charge_nanos,
    )
    return signed(manifest), lambda name: path_in(tmp_path, name)


def path_in(folder: Path, name: str) -> Path:
    """Where the file of a name is."""
    return folder / f"{name.split('/', maxsplit=1)[0]}.parquet"


def write_settlements(path: Path, found: Sequence[Settlement], each: int = 7) -> Part:
    """Write a file of settlements that come a few at a time."""
    file = SettlementFile(path)
    for place in range(0, len(found), each):
        file.add(found[place : place + each])
    draft = file.finish()
    name = settlements_name(workspace(1), MONTH, 1, draft.sha256)
    return Part(draft.kind, name, draft.size_bytes, draft.rows, draft.sha256, None, draft.root)


Month = tuple[Manifest, Callable[[str], Path]]


def test_a_month_as_it_was_published_is_proved(month: Month) -> None:
    """Control: all of it holds."""
    manifest, path_of = month
    assert verify_month(manifest.to_bytes(), KEYS, path_of) == manifest
    stated = json.loads(manifest.to_bytes())
    assert stated["created_at"] == "2026-06-30T00:00:00Z"
    assert stated["period"] == {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}
    assert stated["complete"] is True
    assert stated["ledger"]["equal"] is True


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("ledger", {"ledger_charge_nanos": 1}),
        ("totals", {"parts": ()}),
    ],
)
def test_a_manifest_that_says_something_else_is_found(
    month: Month, check: str, change: dict[str, Any]
) -> None:
    """Even if it is signed."""
    manifest, path_of = month
    with pytest.raises(NotProved) as raised:
        verify_month(signed(replace(manifest, **change)).to_bytes(), KEYS, path_of)
    assert raised.value.check == check


def test_records_of_several_files_are_proved_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """As late ones are, between those that came in time; one that is there twice is found."""
    paths = [
        write(tmp_path / f"{name}.parquet", found).path
        for name, found in (("first", ROWS[::2]), ("late", ROWS[1::2]), ("twice", ROWS[7:8]))
    ]
    verify_settlements(settlements(ROWS), paths[:2])
    verify_settlements(settlements(ROWS), paths[1::-1])
    with pytest.raises(NotProved, match="request_ids"):
        verify_settlements(settlements(ROWS), paths)
    with pytest.raises(NotProved, match="record_count"):
        verify_settlements(settlements(ROWS), paths[:1])


def test_a_settlement_is_named_once_and_by_its_id(month: Month) -> None:
    """Whatever is signed."""
    _, path_of = month
    first = settlements(ROWS)[0]
    for wrong in ((*settlements(ROWS), first), (first._replace(transaction_id="txn_1"),)):
        with pytest.raises(NotProved, match="settlements"):
            verify_settlements(wrong, [path_of("usage/v1")])


def test_memory_does_not_grow_with_a_settlement(tmp_path: Path) -> None:
    """Some hashes of each that is not whole yet are kept, not its records."""
    found = rows(workspace(1), 20_000)
    every = [row | {"settlement_id": bytes(16)} for row in found]
    named, path = settlements(every), write(tmp_path / "usage.parquet", every).path
    tracemalloc.start()
    try:
        verify_settlements(named, [path])
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 4_000_000


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        ("record_count", settlements(ROWS[:-1])),
        ("settlements", settlements(ROWS[:50])),
        ("settlements", settlements(ROWS) * 2),
        ("records_root", settlements([*ROWS[:-1], ROWS[-1] | {"requests": 2}])),
        ("", settlements(ROWS)),
    ],
)
def test_settlements_that_are_not_those_of_the_rows_are_found(
    month: Month, tmp_path: Path, check: str, wrong: tuple[Settlement, ...]
) -> None:
    """Even if their file is named and signed."""
    manifest, path_of = month
    roots = write_settlements(tmp_path / "settlements.parquet", wrong)
    changed = signed(replace(manifest, parts=(manifest.parts[0], roots))).to_bytes()
    if not check:
        assert verify_month(changed, KEYS, path_of).settlements == len(wrong)
        return
    with pytest.raises(NotProved) as raised:
        verify_month(changed, KEYS, path_of)
    assert raised.value.check == check


def test_a_root_that_is_not_the_settlements_is_found(month: Month) -> None:
    """Also a count; and settlements that no file names."""
    manifest, path_of = month
    usage, roots = manifest.parts
    for wrong, check in (
        ((usage, roots._replace(root=bytes(32))), "settlements_root"),
        ((usage, roots._replace(rows=roots.rows + 1)), "settlements_root"),
        ((usage,), "settlements"),
    ):
        with pytest.raises(NotProved) as raised:
            verify_month(signed(replace(manifest, parts=wrong)).to_bytes(), KEYS, path_of)
        assert raised.value.check == check


def test_the_same_settlements_are_the_same_bytes(tmp_path: Path) -> None:
    """However they come; what is read is what was written, and none of no log has a hash."""
    found = [
        each._replace(sequence=0, hash=b"") if number % 3 == 0 else each
        for number, each in enumerate(settlements(rows(workspace(1), 2_000)))
    ]
    parts = {write_settlements(tmp_path / f"{n}", found, n) for n in (1, 9, 10_000)}
    assert len(parts) == 1
    read = [each for some in settlements_of(tmp_path / "9") for each in some]
    assert read == found
    assert parts.pop().root == root([leaf_of(each) for each in found])


def test_sums_that_are_not_the_files_are_found(month: Month) -> None:
    """A charge moved from the file's rows to the manifest's sum."""
    manifest, path_of = month
    totals = replace(manifest.totals, charge_nanos=manifest.totals.charge_nanos - 1)
    part = manifest.parts[0]._replace(totals=totals)
    parts = (part, *manifest.parts[1:])
    wrong = replace(manifest, parts=parts, totals=totals, ledger_charge_nanos=totals.charge_nanos)
    with pytest.raises(NotProved, match="sums"):
        verify_month(signed(wrong).to_bytes(), KEYS, path_of)


def test_another_signature_is_no_proof(month: Month) -> None:
    """None, another key's, and one over another revision."""
    manifest, path_of = month
    for wrong in (
        replace(manifest, signature=bytes(64)),
        replace(manifest, key_id="ed25519-0000000000000000"),
        replace(manifest, revision=2),
    ):
        with pytest.raises(NotProved, match="signature"):
            verify_month(wrong.to_bytes(), KEYS, path_of)


def test_a_changed_or_missing_file_is_found(month: Month, tmp_path: Path) -> None:
    """One bit, a cut, and no file at all."""
    manifest, path_of = month
    path = path_of(manifest.parts[0].name)
    whole = path.read_bytes()
    for wrong in (whole[:-1], whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]):
        path.write_bytes(wrong)
        with pytest.raises(NotProved, match=r"^file$"):
            verify_month(manifest.to_bytes(), KEYS, path_of)
    path.unlink()
    with pytest.raises(NotProved, match="file_missing"):
        verify_month(manifest.to_bytes(), KEYS, path_of)


def test_a_manifest_has_one_form(month: Month) -> None:
    """Other spacing, another member, or a number in another form is another text."""
    manifest, _ = month
    text = manifest.to_bytes()
    found = json.loads(text)
    assert parse_manifest(text) == manifest
    for wrong in (
        json.dumps(found).encode(),
        encode(found | {"more": 1}),
        encode(found | {"revision": "01"}),
        encode(found | {"files": [found["files"][0] | {"name": "../../secret"}]}),
        # Months whose end, or whose 90 days after it, no calendar has.
        encode(found | {"month": "9999-12"}),
        encode(found | {"month": "9999-10"}),
        encode({name: found[name] for name in found if name != "totals"}),
        text.replace(b'"complete":true', b'"complete":false'),
    ):
        with pytest.raises(ManifestNotValid):
            parse_manifest(wrong)


def test_no_more_is_read_than_a_manifest_can_have(tmp_path: Path) -> None:
    """A file that goes on for ever is refused at once."""
    path = tmp_path / "manifest.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ManifestNotValid):
        read_manifest(path)
    path.write_bytes(b"{}")
    assert read_manifest(path) == b"{}"


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_text_makes_the_reader_fail(text: bytes) -> None:
    """What is no manifest is refused as such."""
    with pytest.raises(ManifestNotValid):
        parse_manifest(text)


def test_only_known_kinds_can_be_named() -> None:
    """The internal file of ids is of no manifest."""
    part = Part(ArchiveFile.KIND_IDS, "ids/x", 1, 1, bytes(32), None)
    with pytest.raises(KeyError):
        replace(_empty(), parts=(part,)).to_bytes()


def _empty() -> Manifest:
    totals = Tally().totals()
    return Manifest(
        workspace(1), MONTH, 1, RevisionReason.REVISION_REASON_INITIAL, None, (), totals, 0
    )
