"""What the edge's composition root derives from its settings."""

from __future__ import annotations

import json
from pathlib import Path

from edge.app import _idempotency_pepper, _peppers


def test_a_new_pepper_changes_no_hash_of_an_idempotency_key(tmp_path: Path) -> None:
    """A request that is sent again after a rotation calls no upstream a second time."""
    path, listed = tmp_path / "pepper.json", {"1": "aa" * 32}
    path.write_text(json.dumps(listed))
    before = _peppers(path)
    path.write_text(json.dumps({**listed, "2": "bb" * 32, "10": "cc" * 32}))
    after = _peppers(path)
    assert after[0] != before[0]
    assert _idempotency_pepper(after) == _idempotency_pepper(before)
    assert _idempotency_pepper(after) not in after
