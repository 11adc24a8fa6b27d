"""Only what the provider signed a moment ago, with a secret of ours, is read."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from core.billing.stripe.client import StripeAdapter
from kit.reasons import InvalidArgument

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OLD, NEW = "whsec_old", "whsec_new"
EVENT = {
    "object": "event",
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "livemode": False,
    "created": int(NOW.timestamp()),
    "data": {"object": {"id": "pi_1"}},
}


def body_of(**changes: object) -> bytes:
    """An event's bytes."""
    return json.dumps({**EVENT, **changes}).encode()


def header(body: bytes, secret: str = NEW, at: datetime = NOW) -> str:
    """The signature that the provider would send."""
    made: str = stripe.WebhookSignature.generate_signature_header(
        body.decode(), secret, int(at.timestamp())
    )
    return made


def adapter(*secrets: str) -> StripeAdapter:
    """An adapter that is never asked to call anybody."""
    return StripeAdapter("sk_test_x", secrets or (NEW,))


def test_a_signed_event_says_what_it_is_about() -> None:
    """Its id, type, object and moment; nothing else is kept."""
    body = body_of()
    event = adapter().read_event(body, header(body), NOW)
    assert (event.id, event.type, event.object_id) == ("evt_1", EVENT["type"], "pi_1")
    assert (event.livemode, event.created_at) == (False, NOW)


def test_a_thin_event_is_read_as_well() -> None:
    """A notification names its object only; its type has a version in front."""
    body = json.dumps(
        {
            "object": "v2.core.event",
            "id": "evt_2",
            "type": "v1.charge.dispute.created",
            "livemode": False,
            "created": "2026-11-20T12:00:00.000Z",
            "related_object": {"id": "du_1", "type": "dispute", "url": "/v1/disputes/du_1"},
        }
    ).encode()
    event = adapter().read_event(body, header(body), NOW)
    assert (event.type, event.object_id, event.created_at) == (
        "charge.dispute.created",
        "du_1",
        NOW,
    )


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_case_33_both_secrets_count_while_one_is_replaced(secret: str) -> None:
    """And two signatures in one header, of which one is ours."""
    body = body_of()
    assert adapter(NEW, OLD).read_event(body, header(body, secret), NOW).id == "evt_1"
    second = header(body, "whsec_next").partition(",")[2]
    both = f"{header(body, secret)},{second}"
    assert adapter(NEW, OLD).read_event(body, both, NOW).id == "evt_1"


@pytest.mark.parametrize(
    "sent",
    [
        header(body_of(), OLD),
        header(body_of(), at=NOW - timedelta(seconds=301)),
        header(body_of(), at=NOW + timedelta(seconds=301)),
        header(body_of()).replace("v1=", "v0="),
        "t=1",
        "t=x,v1=00",
        "v1=00",
        "t=99999999999999999999,v1=00",
        "",
        "\u00e9",
        "t=1,v1=" + "0" * 5_000,
    ],
)
def test_case_32_a_wrong_old_or_missing_signature_is_refused(sent: str) -> None:
    """In whatever way it is wrong."""
    with pytest.raises(
        InvalidArgument, check=lambda error: "signature" in error.metadata["fields"]
    ):
        adapter().read_event(body_of(), sent, NOW)


def test_case_32_a_body_written_anew_is_refused() -> None:
    """The same JSON in other bytes is not what was signed."""
    body = body_of()
    again = json.dumps(json.loads(body), indent=1).encode()
    with pytest.raises(InvalidArgument):
        adapter().read_event(again, header(body), NOW)


@pytest.mark.parametrize("secrets", [(), ("",), (NEW, " ")])
def test_case_32_an_empty_secret_is_no_secret(secrets: tuple[str, ...]) -> None:
    """Anybody could sign with it."""
    with pytest.raises(ValueError, match=r"^$"):
        StripeAdapter("sk_test_x", secrets)


def test_case_31_an_event_of_another_account_is_refused() -> None:
    """We have none that is connected."""
    body = body_of(account="acct_1")
    with pytest.raises(
        InvalidArgument, check=lambda error: error.metadata["fields"] == "body.account"
    ):
        adapter().read_event(body, header(body), NOW)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["object", "id", "type", "data", "created", "livemode"])
                | st.text(),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_any_signed_json_is_an_event_or_refused(value: object) -> None:
    """Even from the provider: its contract may change under us."""
    body = json.dumps(value).encode()
    try:
        adapter().read_event(body, header(body), NOW)
    except InvalidArgument:
        return
    assert isinstance(value, dict)


@given(st.binary(max_size=200), st.text(max_size=80))
def test_any_bytes_are_refused_in_our_words(body: bytes, signature: str) -> None:
    """Never another error."""
    with pytest.raises(InvalidArgument):
        adapter().read_event(body, signature, NOW)
