"""User contexts: what core signed is read, anything else is refused without a word of it."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.platform_key import PlatformKey, load_or_make_platform_key
from kit.platform_keys import PublicKeys
from kit.user_context import (
    LABEL,
    LEEWAY_MICROS,
    LIFETIME_MICROS,
    InvalidUserContext,
    UnknownSigningKey,
    UserContext,
    check_current,
    read_signed,
    to_text,
)

NOW = 1_800_000_000_000_000
CONTEXT = UserContext(
    subject=f"key_{'1' * 32}",
    workspace_id=f"ws_{'2' * 32}",
    permissions=frozenset({"archives.download"}),
    audience="archiver",
    issued_at_micros=NOW,
)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> PlatformKey:
    """A platform key."""
    folder: Path = tmp_path_factory.mktemp("keys")
    return load_or_make_platform_key(folder / "platform.json")


def signed(key: PlatformKey, context: UserContext = CONTEXT, label: str = LABEL) -> str:
    """Sign a context."""
    content = context.content(key.key_id)
    return to_text(content, key.sign(label, content).value)


def test_what_was_signed_is_read(key: PlatformKey) -> None:
    """All of it, as it was."""
    assert read_signed(signed(key), key.public_keys) == CONTEXT


def test_it_works_for_a_minute_and_one_audience(key: PlatformKey) -> None:
    """Not before, not later, not elsewhere."""
    check_current(CONTEXT, "archiver", NOW - LEEWAY_MICROS)
    check_current(CONTEXT, "archiver", NOW + LIFETIME_MICROS + LEEWAY_MICROS - 1)
    for audience, moment in (
        ("archiver", NOW - LEEWAY_MICROS - 1),
        ("archiver", NOW + LIFETIME_MICROS + LEEWAY_MICROS),
        ("core", NOW),
    ):
        with pytest.raises(InvalidUserContext):
            check_current(CONTEXT, audience, moment)


def test_another_workspace_cannot_be_written_into_it(key: PlatformKey) -> None:
    """The signature covers every field."""
    payload, signature = signed(key).split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    for field in content:
        changed = content | {field: f"ws_{'3' * 32}"}
        text = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
        with pytest.raises(InvalidUserContext):
            read_signed(f"{text}.{signature}", key.public_keys)


def test_a_signature_of_another_kind_is_none(key: PlatformKey) -> None:
    """What was signed as something else is no user context."""
    with pytest.raises(InvalidUserContext):
        read_signed(signed(key, label="1api.club/charge_receipt/v1"), key.public_keys)


def test_a_key_that_is_not_known_is_told(key: PlatformKey) -> None:
    """So that its reader can look for newer keys."""
    with pytest.raises(UnknownSigningKey):
        read_signed(signed(key), PublicKeys({}))


@given(
    st.one_of(
        st.text(max_size=200),
        st.tuples(st.binary(max_size=60), st.binary(max_size=70)).map(
            lambda parts: ".".join(base64.urlsafe_b64encode(part).decode() for part in parts)
        ),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["key_id", "subject", "x"]), inner, max_size=3)
            ),
        ).map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode() + ".AA"),
    )
)
def test_no_text_is_more_than_invalid(text: str) -> None:
    """Whatever comes, it is refused in one way, and without its text."""
    keys = PublicKeys({"ed25519-0123456789abcdef": secrets.token_bytes(32)})
    with pytest.raises(InvalidUserContext) as refused:
        read_signed(text, keys)
    assert str(refused.value) == ""
