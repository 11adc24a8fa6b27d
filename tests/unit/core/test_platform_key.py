"""The platform's key: made once, private, replaced without forgetting what it signed."""

from __future__ import annotations

import contextlib
import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.platform_key import (
    load_or_make_platform_key,
    parse_platform_key,
    rotate_platform_key,
)
from kit.platform_keys import InvalidKeySet, parse_keys, signed_bytes


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    """Its file is its owner's alone, and its text shows in no repr."""
    path = tmp_path / "keys" / "platform.json"
    key = load_or_make_platform_key(path)
    assert load_or_make_platform_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["platform.json"]
    assert key.seed.hex() not in repr(key)


def test_a_replaced_key_still_proves_what_it_signed(tmp_path: Path) -> None:
    """And can sign nothing any more: its secret half is gone."""
    path = tmp_path / "keys" / "platform.json"
    before = load_or_make_platform_key(path)
    signature = before.sign("label", {"a": 1})
    after = rotate_platform_key(path)
    assert after.key_id != before.key_id
    assert list(after.public_keys.by_id) == [after.key_id, before.key_id]
    published = parse_keys(after.public_keys.to_json())
    assert published == after.public_keys
    message = signed_bytes("label", {"a": 1})
    assert published.verifies(signature.key_id, signature.value, message)
    assert not published.verifies(after.key_id, signature.value, message)
    assert not published.verifies(signature.key_id, signature.value, message + b" ")
    assert before.seed.hex() not in path.read_text()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"current": "a", "keys": {}}', '{"current": "a", "keys": {"a": {}}}'],
)
def test_another_file_is_refused_without_its_text(text: str) -> None:
    """A fault names the kind of file only."""
    with pytest.raises(ValueError, match="platform key") as found:
        parse_platform_key(text)
    assert found.value.__cause__ is None


def test_a_key_under_another_id_is_refused(tmp_path: Path) -> None:
    """An id is made of its key."""
    path = tmp_path / "keys" / "platform.json"
    key = load_or_make_platform_key(path)
    text = path.read_text().replace(key.key_id, "ed25519-0000000000000000")
    with pytest.raises(ValueError, match="platform key"):
        parse_platform_key(text)
    published = json.loads(key.public_keys.to_json())
    published["keys"][0]["kid"] = "ed25519-0000000000000000"
    with pytest.raises(InvalidKeySet):
        parse_keys(json.dumps(published).encode())


@given(
    st.one_of(
        st.binary(max_size=100),
        st.recursive(
            st.none() | st.text(max_size=5) | st.integers() | st.just("OKP") | st.just("Ed25519"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["keys", "kty", "crv", "kid", "x"]), inner, max_size=5
                )
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_any_key_set_is_read_or_refused(text: bytes) -> None:
    """A file that somebody downloaded may be anything."""
    with contextlib.suppress(InvalidKeySet):
        assert isinstance(parse_keys(text).by_id, dict)
