"""What letters say, and what they cannot be made to say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.mail.letters import CannotBeWritten, Facts, letter

FACTS = Facts(bytes(16), 10_000_000_000, "4242", "http://127.0.0.1:1/c/pay/cs_1")
AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("template", ["top_up_needs_you", "top_up_stopped"])
def test_a_letter_says_what_happened(template: str) -> None:
    """Amount, card, workspace; and that nothing was charged."""
    made = letter(template, FACTS, sender="a@1api.club", to="b@example.org", message_id="m", at=AT)
    text = made.get_content()
    assert "10.00" in text
    assert "4242" in text
    assert "Nothing has been charged" in text
    assert (FACTS.link in text) == (template == "top_up_needs_you")


@given(st.text(max_size=60))
def test_no_address_adds_a_header_or_another_recipient(to: str) -> None:
    """Whatever somebody wrote into their billing account."""
    try:
        made = letter("top_up_stopped", FACTS, sender="a@1api.club", to=to, message_id="m", at=AT)
        raw = made.as_bytes()
    except CannotBeWritten:
        return
    head = raw.partition(b"\n\n")[0]
    names = [line.partition(b":")[0].lower() for line in head.splitlines() if line[:1].strip()]
    assert sorted(names) == sorted(
        [
            *(b"to", b"from", b"subject", b"date", b"message-id", b"auto-submitted"),
            *(b"content-type", b"content-transfer-encoding", b"mime-version"),
        ]
    )


def test_an_unknown_template_is_no_letter() -> None:
    """A row of a newer version."""
    with pytest.raises(CannotBeWritten):
        letter("birthday", FACTS, sender="a@1api.club", to="b@example.org", message_id="m", at=AT)
